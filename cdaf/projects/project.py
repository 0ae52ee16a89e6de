"""The project as it stands on disk: settings, name, version, commit, and the tracked files that enter its bundle."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from cdaf import languages, progress
from cdaf.errors import ProjectError, faults
from cdaf.projects import advice, git, rules, steady
from cdaf.projects.patterns import matching
from cdaf.settings import config, refusal
from cdaf.settings.settings import Settings, Smoke
from cdaf.testing import stack
from cdaf.versions import Version

DEFAULT_CHECKS = Smoke().files
_LONGEST = 128
_LATEST = 253402300799  # 9999-12-31T23:59:59Z, the last that RFC 3339 can write


class Source(msgspec.Struct, frozen=True):
    """The commit a project stands on; `time` is its committer date in seconds since the epoch."""

    time: int
    repository: str | None = None
    commit: str | None = None
    dirty: bool = False


class File(msgspec.Struct, frozen=True):
    """One tracked path that enters the bundle: `name` is relative to the service, with `/`.

    `link` is the target of a symbolic link, which has no bytes of its own and enters as a link of the plan.
    """

    name: str
    path: Path
    executable: bool
    link: str = ""


class Project(msgspec.Struct, frozen=True):
    """A service before anything is resolved."""

    root: Path  # the service's folder
    repository: Path  # the git work tree's root
    settings: Settings
    origins: dict[str, str]
    file: Path  # where the settings stand
    name: str
    version: Version
    language: str
    source: Source
    files: tuple[File, ...]  # by [service] include
    checks: tuple[File, ...]  # by [smoke] files
    compose: tuple[File, ...]  # by [smoke] compose
    seen: steady.Seen  # the repository before any of this was read


def read(
    root: Path,
    flags: Mapping[str, object] = {},
    *,
    release: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Project:
    """The project in `root`.

    Raises ProjectError with all faults of its settings and its files, UsageError when only flags have any.
    """
    root = root.resolve()
    early = steady.beside(root)
    loaded = config.read(root, flags, environ)
    settings = _narrowed(loaded)
    found = rules.broken(settings)
    with advice.untracked(root) as untracked:
        head = git.head(root)
        seen = steady.look(head, root, early)
    top, listed = seen.top, steady.below(seen, root)
    language = settings.service.language or languages.detect(root, top)
    if language is None or language not in languages.MODULES:
        found.append(_no_language(root, language))
        way = languages.lacking(root).hint
        raise ProjectError(faults(loaded.file.name, found), f"{way}, or set service.language")
    if not settings.service.start and language not in languages.SEALING:
        found.append("service.start is missing: the command that starts the service, as a list of words")
    written = {key.partition(".")[0] for key, origin in loaded.origins.items() if origin == loaded.file.name}
    found += rules.idle(written, language, languages.MODULES)
    told, number = languages.load(language).identify(root)
    name, number = settings.service.name or told or root.name, settings.service.version or number
    if not rules.NAME.fullmatch(name := name.lower().replace("_", "-")):
        found.append(f"service.name: {_origin(settings, language, told)}{name!r} {rules.NO_NAME}")
    elif len(name) > _LONGEST:
        found.append(
            f"service.name: {len(name)} characters are more than the {_LONGEST} that a file's name has room for"
        )
    files = _by_name(_files(root, top, listed, settings.service.include, "service.include", found))
    checks = _by_name(_files(root, top, listed, _check_patterns(settings, listed), "smoke.files", found))
    compose = _files(root, top, listed, settings.smoke.compose, "smoke.compose", found)
    names = [each.name for each in files], [each.name for each in checks]
    found += rules.absent(settings, *names, listed, whole=language in languages.SEALING)
    found += stack.check(settings.smoke, [file.path for file in compose])
    if found:
        raise refusal.refuse(loaded.file.name, loaded.origins, found)
    source = Source(_time(head.time, environ), settings.service.repository, head.commit)
    version = _version(root, head, number, release=release)
    advice.on_forgotten(settings, languages.taken(language, root), untracked.result())
    advice.on_smoke(settings, whole=language in languages.SEALING)
    return Project(
        root, top, settings, loaded.origins, loaded.file, name, version, language, source, files, checks, compose, seen
    )


def _narrowed(loaded: config.Loaded) -> Settings:
    """The settings; a platform that a flag or the environment leaves out need not be taken out of `untested` too."""
    settings = loaded.settings
    if loaded.origins.get("image.platforms", loaded.file.name) == loaded.file.name:
        return settings
    kept = tuple(each for each in settings.smoke.untested if each in settings.image.platforms)
    return msgspec.structs.replace(settings, smoke=msgspec.structs.replace(settings.smoke, untested=kept))


def settle(project: Project, inputs: Iterable[Path], *, release: bool = False) -> Project:
    """The project with its dirtiness decided, once locks are written.

    `inputs` are the files and folders beyond the project's own that enter the bundle: locks, and what is built.
    Raises ProjectError when a release was asked for and the tree is dirty, or when HEAD has moved.
    """
    own = [project.file, *(file.path for file in (*project.files, *project.checks, *project.compose))]
    project = msgspec.structs.replace(project, seen=steady.entering(project.seen, [*own, *inputs]))
    dirty = sorted(project.seen.differing)
    if not dirty:
        return project
    named = ", ".join(dirty[:5]) + (f" and {len(dirty) - 5} more" if len(dirty) > 5 else "")
    differs = f"{named} {'differ' if len(dirty) > 1 else 'differs'} from the commit"
    if release:
        raise ProjectError(
            f"a release cannot be made of a dirty tree: {differs}", "commit what differs, and let git ignore none of it"
        )
    progress.note(f"the tree is dirty, so the image will have no tag: {differs}")
    commit = project.source.commit or ""
    return msgspec.structs.replace(
        project,
        version=Version(project.version.number, commit[:12], dirty=True),
        source=msgspec.structs.replace(project.source, dirty=True),
    )


def _no_language(root: Path, declared: str | None) -> str:
    if declared:
        return f"service.language: {declared!r} is not one of {', '.join(languages.MODULES)}"
    return languages.lacking(root).fault


def _check_patterns(settings: Settings, listed: Iterable[str]) -> tuple[str, ...]:
    patterns = settings.smoke.files
    is_default = patterns == DEFAULT_CHECKS
    if not settings.smoke.checks or (is_default and not matching(patterns[0], listed)):
        return ()
    return patterns


def _files(
    root: Path, top: Path, listed: Mapping[str, git.Tracked], patterns: Iterable[str], key: str, found: list[str]
) -> tuple[File, ...]:
    names: dict[str, None] = {}
    for pattern in patterns:
        hits = matching(pattern, listed)
        if not hits:
            found.append(f"{key}: {pattern!r} matches nothing that git tracks")
        names |= dict.fromkeys(sorted(hits))
    return tuple(file for name in names if (file := _file(root, top, listed[name], key, found)))


def _by_name(files: tuple[File, ...]) -> tuple[File, ...]:
    """In an order of their own: only compose files are merged as they were declared."""
    return tuple(sorted(files, key=lambda file: file.name))


def _file(root: Path, top: Path, entry: git.Tracked, key: str, found: list[str]) -> File | None:
    path = root / entry.name
    if re.search(r"[\x00-\x1f\x7f]", entry.name):
        found.append(f"{key}: {entry.name!r} has a control character in its name, and a bundle holds none")
    elif entry.mode == "160000":
        found.append(f"{key}: {entry.name} is a submodule; name its files through a dependency instead")
    elif entry.mode == "120000" and path.is_symlink():
        return _link(root, top, entry, key, found)
    elif not path.is_file() or path.is_symlink():
        found.append(f"{key}: {entry.name} is tracked but no regular file on disk")
    elif not os.access(path, os.R_OK):
        found.append(f"{key}: {entry.name} cannot be read by this user")
    else:
        return File(entry.name, path, entry.mode == "100755")
    return None


def _link(root: Path, top: Path, entry: git.Tracked, key: str, found: list[str]) -> File | None:
    path = root / entry.name
    target = str(path.readlink())
    # Not Path.resolve: below Python 3.13 it raises RuntimeError for links in a circle.
    led = Path(os.path.realpath(path))
    if led.is_symlink():
        found.append(f"{key}: {entry.name} is a symbolic link that leads back to itself")
        return None
    if not PurePosixPath(target).is_absolute() and led.is_relative_to(root):
        return File(entry.name, path, executable=False, link=target)
    where = "project" if not led.is_relative_to(top) else "service's folder"
    found.append(f"{key}: {entry.name} is a symbolic link out of the {where}, to {target}")
    return None


def _time(committed: int, environ: Mapping[str, str]) -> int:
    """The one time in a bundle; SOURCE_DATE_EPOCH wins (reproducible-builds.org specification)."""
    told = environ.get("SOURCE_DATE_EPOCH", "")
    if told and not re.fullmatch("[0-9]{1,12}", told):
        raise ProjectError(f"SOURCE_DATE_EPOCH is {told!r}, not a number of seconds", "unset it, or set it to digits")
    time = int(told) if told else committed
    if not 0 <= time <= _LATEST:
        raise ProjectError(
            f"{'SOURCE_DATE_EPOCH' if told else 'the commit'} says {time} s, and a bundle tells no time before 1970 "
            "or after 9999",
            "set SOURCE_DATE_EPOCH to another time",
        )
    return time


def _origin(settings: Settings, language: str, told: str | None) -> str:
    """Where a name comes from that the settings do not say, before it in a message."""
    if settings.service.name:
        return ""
    where = f"{languages.named_by(language)}'s name" if told else "the folder's name"
    return f"is not set, and {where} "


def _version(root: Path, head: git.Head, number: str | None, *, release: bool) -> Version:
    if number is None:
        number = git.describe(root)
        if head.shallow:
            raise ProjectError(
                "the version comes from git's tags, and this clone is shallow",
                "fetch the history: `git fetch --unshallow --tags`",
            )
    if number is None:
        raise ProjectError(
            "no version: not in the project's manifest and no v… tag in git",
            "set service.version, or tag a commit: `git tag v0.1.0`",
        )
    if not rules.VERSION.fullmatch(number) or len(number) > _LONGEST // 2:
        raise ProjectError(f"version {number!r} is not of the form 1.4.0 or 1.4.0-rc.1", "change it")
    is_tagged = f"v{number}" in head.tags
    if release and not is_tagged and (taken := git.tagged(root, f"v{number}")):
        raise ProjectError(
            f"{number} is released already: the tag v{number} names commit {taken[:12]}, not {head.commit[:12]}",
            f"raise the version, or check out the tag: `git checkout v{number}`",
        )
    advice.on_tags(number, head.tags)
    is_release = release or is_tagged
    return Version(number, "" if is_release else head.commit[:12])

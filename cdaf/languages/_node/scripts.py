"""Install scripts: never run but for the packages that [node] scripts names, in the build image and without network.

A script that builds what nothing else brings is demanded to be named; of others, which mostly fetch, check or thank,
it is only told that they do not run. What a script changes in its package's own folder enters the image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from cdaf import assets, progress, store, typed
from cdaf.bases import elf
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.images import content as bytes_of
from cdaf.images.plan import Place
from cdaf.languages._node import layout, resolve
from cdaf.languages._node.collect import Held
from cdaf.languages._node.layout import Made, Spread
from cdaf.languages._node.values import Alias, Target
from cdaf.languages._shared import commands, container, memo, tree
from cdaf.net.fetch import KIND
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Base, Pins
from cdaf.projects.project import Project

_FOLDER = "/build/scripts"
_EVENTS = ("preinstall", "install", "postinstall")
_BUILDS = re.compile(r"\b(?:node-gyp|node-pre-gyp|prebuild-install|node-gyp-build|cmake-js|napi build|neon build)\b")
_ELSEWHERE = re.compile(r"(?:^|/)prebuilds/(?!linux-)[a-z0-9]+-[^/]+/")  # node-gyp-build's folders of other systems
# What a build leaves that nobody asks for at run time, and much of it names times and temporary folders.
_LEFT = re.compile(
    r"(?:.*/)?build/(?:(?:.*/)?(?:obj|obj\.target|\.deps|node_gyp_bins)/.*|[^/]*Makefile|[^/]*\.mk|config\.gypi|gyp-[^/]*|.*\.[oda])"
)


class _Job(msgspec.Struct, frozen=True):
    folder: str
    name: str
    version: str
    scripts: tuple[tuple[str, str], ...]


class _Output(msgspec.Struct, frozen=True):
    """A file that a script made; without a digest, one that it took away."""

    package: str
    path: str
    sha256: str = ""
    size: int = 0
    executable: bool = False


def of(held: Held) -> tuple[tuple[str, str], ...]:
    """The scripts that npm would run when it installs a package, in their order."""
    told = dict(held.reading.package.scripts)
    if held.reading.gyp and not ({"install", "preinstall"} & told.keys()):
        told["install"] = "node-gyp rebuild"
    return tuple((event, told[event]) for event in _EVENTS if event in told)


def demand(project: Project, held: Sequence[Held], targets: Sequence[Target]) -> None:
    """Refuse what would not work without a script that nobody named, and names that nothing has.

    Raises ResolveError, ProjectError.
    """
    known = {*project.settings.node.scripts, *project.settings.node.ignored}
    wrong: dict[str, list[str]] = {}
    told: dict[str, None] = {}
    for target in targets:
        present = {each.choice.name: each for each in held if target.platform in each.choice.main and not target.smoke}
        for each in present.values():
            scripts, choice = of(each), each.choice
            if not scripts or choice.kind == "folder" or choice.name in known or _has_build(each, present, target):
                continue
            said = "; ".join(f"{event}: {command}" for event, command in scripts)
            if any(_BUILDS.search(command) for _, command in scripts) and not choice.optional:
                wrong.setdefault(f"{choice.label} ({said})", []).append(target.platform)
            else:
                told[f"{choice.label}: its install script does not run ({said})"] = None
    _demand_known(project, held)
    if wrong:
        lines = [f"{label} brings no build for {' and '.join(platforms)}" for label, platforms in wrong.items()]
        raise ResolveError(
            faults("packages that would have been built when installed", sorted(lines)),
            "name them in `scripts` below [node], with a [build] image that has the compiler; "
            "or in `ignored`, if they do without",
        )
    for line in sorted(told):
        progress.warn(f"{line}; name it in [node] scripts, or in ignored")


def _demand_known(project: Project, held: Sequence[Held]) -> None:
    settings, names = project.settings.node, {each.choice.name: each for each in held}
    wrong = [
        f"node.{key}: {name!r} is no package of the image"
        for key in ("scripts", "ignored")
        for name in getattr(settings, key)
        if name not in names
    ]
    wrong += [
        f"node.scripts: {name!r} has no install script"
        for name in settings.scripts
        if name in names and not of(names[name])
    ]
    if wrong:
        raise ProjectError(faults(project.file.name, wrong), "correct the names, or leave them out")


def _has_build(held: Held, present: dict[str, Held], target: Target) -> bool:
    """Whether a package, or one for this platform that it needs, brings machine code that fits."""
    own = [held, *(present[name] for name in held.choice.requires if name in present and present[name].choice.native)]
    return any(_fits(path, found, target) for each in own for path, found in each.reading.native.items())


def _fits(path: str, found: elf.Elf, target: Target) -> bool:
    return elf.fits(found, target.platform) and not is_foreign(path, found, target)


def is_foreign(path: str, found: elf.Elf, target: Target) -> bool:
    """Whether a file is for another libc than the base's, or another system, as its needs or its name tell."""
    if _ELSEWHERE.search(path):
        return True
    musl = any("musl" in each for each in (*found.needed, found.interpreter, path.rpartition("/")[2]))
    return bool(target.libc) and musl != (target.libc == "musl") and bool(found.needed or musl)


def made(
    project: Project,
    pins: Pins,
    held: Sequence[Held],
    spread: Sequence[Spread],
    aliases: Sequence[Alias],
    target: Target,
) -> dict[str, tuple[Made, ...]]:
    """What the named scripts made for one target, by the lock's path; from an earlier run on the same files."""
    named = {each.choice.path for each in held if each.choice.name in project.settings.node.scripts}
    wanted = [each for each in sorted(spread, key=lambda each: each.choice.path) if each.choice.path in named]
    if not wanted:
        return {}
    reference = project.settings.build.image or base_of(project)
    image = pinned.base(pins, reference, target.platform)
    jobs = [_Job(each.prefix, each.choice.name, each.choice.version, of(each.held)) for each in wanted]
    told = msgspec.json.encode([image.digest, target.platform, jobs])
    inputs = sorted(f"{each.prefix} {each.held.archive.dependency.sha256}" for each in spread)
    name = memo.key("npm scripts", assets.installer(), told, *inputs)
    known = memo.load(name, tuple[_Output, ...])
    if known is None or not all(store.checked(KIND, each.sha256) for each in known if each.sha256):
        with progress.step(f"running install scripts for {target.platform}"):
            known = tuple(_run(project, image, spread, aliases, wanted, jobs))
        memo.save(name, known)
    found: dict[str, tuple[Made, ...]] = {}
    for one in known:
        content = bytes_of.Content(one.sha256, one.size, store.path(KIND, one.sha256)) if one.sha256 else None
        found[one.package] = (*found.get(one.package, ()), Made(one.path, content, one.executable))
    return found


def _run(
    project: Project,
    image: Base,
    spread: Sequence[Spread],
    aliases: Sequence[Alias],
    wanted: Sequence[Spread],
    jobs: Sequence[_Job],
) -> list[_Output]:
    names = ", ".join(each.choice.label for each in wanted)
    hint = "package where it runs, lock a version with a prebuilt binary for it, or leave the platform out"
    container.demand_here(image.platform, f"the install scripts of {names} have to run on", hint)
    laid, held = layout.whole(spread, aliases, resolve.places(project))
    files = {"installer.js": assets.installer(), "jobs.json": msgspec.json.encode(jobs)}
    laid += [Place(f"{_FOLDER}/{name}", f"{_FOLDER}/{name}") for name in files]
    held |= {f"{_FOLDER}/{name}": bytes_of.of_bytes(data) for name, data in files.items()}
    command = [image.facts.interpreter or "node", f"{_FOLDER}/installer.js", _FOLDER, container.OUT]
    ran = container.run(image, command, laid, held, folder=_FOLDER, env={"NODE_ENV": "production"})
    if ran.code:
        hint = "set build.image to an image that has what it needs, such as node:22"
        raise ResolveError(f"an install script of {names} failed in {image.reference}", hint, ran.output)
    return list(_taken(ran.taken, wanted))


def _taken(data: bytes, wanted: Sequence[Spread]) -> Iterator[_Output]:
    with tree.taken(data, container.OUT, "what install scripts left cannot be taken", "lock another version") as found:
        files = dict(found)
        for number, each in enumerate(wanted):
            for gone in typed.decode(files[f"{number}.json"].read_bytes(), list[str]):
                yield _Output(each.choice.path, gone)
        for name, path in found:
            number_, _, below = name.partition("/")
            if below and not _LEFT.fullmatch(below):
                made = commands.kept(below, path)
                package = wanted[int(number_)].choice.path
                yield _Output(package, below, made.sha256, path.stat().st_size, bool(path.stat().st_mode & 0o111))

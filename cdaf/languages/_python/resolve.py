"""The Python language's first act: the lock's choices for every platform, kept from run to run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf import languages, process, progress
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._python import lockfile
from cdaf.languages._python.asks import normal
from cdaf.languages._python.values import Choice, Target
from cdaf.languages._shared import memo
from cdaf.net import fetch
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project


class Answer(msgspec.Struct, frozen=True):
    """What a lock said: its choices, and the uv that read it."""

    choices: tuple[Choice, ...]
    uv: str


def resolve(project: Project, pins: Pins) -> languages.Lock:
    """Read uv.lock for every platform of the project. Raises ProjectError, ResolveError."""
    lock, answer = _answer(project, targets(project, pins))
    files = {lockfile.NAME: lockfile.redacted(lock.data)}
    return languages.Lock(answer.choices, files, {"uv": answer.uv}, pins, _inputs(project, lock, answer.choices))


def _inputs(project: Project, lock: lockfile.Lockfile, chosen: Sequence[Choice]) -> tuple[Path, ...]:
    """What decides the bundle beside the project's own files: the lock, the manifest, the folders to be built."""
    folders = [Path(choice.directory) for choice in chosen if choice.kind == "directory"]
    found = [
        lock.path,
        project.root / "pyproject.toml",
        *folders,
        *([project.root] if project.settings.build.run else []),
    ]
    return tuple(path for path in found if path.is_relative_to(project.repository))


def tools(project: Project, target: Target) -> tuple[Choice, ...]:
    """What [build] commands find beside them: the image's set and the groups of a developer, for one target."""
    from cdaf.languages._python import select, stale

    lock, service = lockfile.read(project.root, project.repository), project.settings.service
    name = memo.key("tools", _key(project, lock, (target,)))
    answer = memo.load(name, Answer)
    if answer is None:
        stale.refuse(project.root, lock)
        exported = lockfile.export(lock, project.root, service.extras, service.groups, defaults=True)
        answer = Answer(select.choose(select.parse(exported), None, (target,), project.root), _version())
        memo.save(name, answer)
    return answer.choices


def check(project: Project) -> list[str]:
    """What would be refused before anything is fetched."""
    from cdaf.languages._python import stale

    try:
        return _unknown(project) + stale.faults(project.root, lockfile.read(project.root, project.repository))
    except ProjectError as error:
        return [error.message]


def _unknown(project: Project) -> list[str]:
    """Extras and groups that the settings name and pyproject.toml does not declare."""
    service, smoke = project.settings.service, project.settings.smoke
    table = lockfile.manifest(project.root / "pyproject.toml")
    extras = table.get("project", {}).get("optional-dependencies", {})
    groups = [*table.get("dependency-groups", {}), "dev"]
    wanted = [("service.extras", "extra", extras, name) for name in service.extras]
    wanted += [("service.groups", "dependency group", groups, name) for name in service.groups]
    wanted += [("smoke.group", "dependency group", groups, smoke.group)] if smoke.group else []
    return [
        f"{key}: {name!r} is no {kind} of pyproject.toml{_near(normal(name), declared)}"
        for key, kind, declared, name in wanted
        if normal(name) not in map(normal, declared)
    ]


def _near(name: str, declared: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(declared), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def choices(project: Project, pins: Pins) -> tuple[Choice, ...]:
    """What the lock names on the image's own base, for checks with another base too: all that pinning has to see."""
    return _answer(project, _targets(project, pins))[1].choices


def of(lock: languages.Lock) -> tuple[Choice, ...]:
    """The lock's packages as the choices they are."""
    return tuple(each for each in lock.packages if isinstance(each, Choice))


def want(choice: Choice) -> fetch.Want:
    """The archive that a choice names."""
    return fetch.Want(f"{choice.name} {choice.version}", choice.url, choice.hashes, choice.size)


def told(project: Project, choice: Choice) -> dict[str, str]:
    """What a build of the service itself cannot find out without git: its version, when that is git's to say.

    The variable is setuptools-scm's, which hatch-vcs and others heed too.
    """
    if Path(choice.directory or "/") != project.root or "version" in _table(project):
        return {}
    return {"SETUPTOOLS_SCM_PRETEND_VERSION": project.version.number}


def _table(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = lockfile.manifest(project.root / "pyproject.toml").get("project", {})
    return found


def _answer(project: Project, goals: tuple[Target, ...]) -> tuple[lockfile.Lockfile, Answer]:
    lock = lockfile.read(project.root, project.repository)
    name = _key(project, lock, goals)
    answer = memo.load(name, Answer)
    if answer is None:
        answer = _ask(project, lock, goals)
        memo.save(name, answer)
    return lock, answer


def targets(project: Project, pins: Pins) -> tuple[Target, ...]:
    """The environments to fill, with the pinned facts of their bases. Raises ProjectError when one is not pinned."""
    image, smoke = project.settings.image, project.settings.smoke
    found = list(_targets(project, pins))
    if smoke.checks and smoke.image:
        found += [
            Target(platform=each, base=pinned.base(pins, smoke.image, each), smoke=True) for each in image.platforms
        ]
    return tuple(found)


def _targets(project: Project, pins: Pins) -> tuple[Target, ...]:
    image = project.settings.image
    return tuple(
        Target(platform=platform, base=pinned.base(pins, base_of(project), platform)) for platform in image.platforms
    )


def _key(project: Project, lock: lockfile.Lockfile, goals: Sequence[Target]) -> str:
    """Everything an answer depends on; of the folders, only where they lie, for paths in it are absolute."""
    service, smoke = project.settings.service, project.settings.smoke
    binary = Path(lockfile.binary())
    state = binary.stat()
    manifests = [part for path, data in lock.manifests.items() for part in (str(path), data)]
    return memo.key(
        "resolve",
        str(project.root),
        str(lock.path),
        lock.data,
        *manifests,
        f"{binary} {state.st_size} {state.st_mtime_ns}",
        msgspec.json.encode([service.extras, service.groups, smoke.group, bool(smoke.checks), goals]),
    )


def _ask(project: Project, lock: lockfile.Lockfile, goals: Sequence[Target]) -> Answer:
    from cdaf.languages._python import edges, select, stale

    if unknown := _unknown(project):
        raise ProjectError(
            faults(project.name, unknown), "mend each of them: pyproject.toml declares extras and groups"
        )
    with progress.step("reading uv.lock"):
        stale.refuse(project.root, lock)
        main, smoke = _exports(project, lock)
        choices = select.choose(select.parse(main), select.parse(smoke) if smoke else None, goals, project.root)
        needs = edges.find(lock.data, goals, project.settings.service.extras)
    return Answer(tuple(_with_needs(each, needs) for each in choices), _version())


def _with_needs(choice: Choice, needs: Mapping[str, tuple[str, ...]]) -> Choice:
    return msgspec.structs.replace(choice, requires=needs.get(choice.name, ()))


def _exports(project: Project, lock: lockfile.Lockfile) -> tuple[bytes, bytes | None]:
    """The image's set, and the set with the checks' group; two runs of uv at once."""
    from concurrent.futures import ThreadPoolExecutor

    service, smoke = project.settings.service, project.settings.smoke
    with ThreadPoolExecutor(2) as pool:
        main = pool.submit(lockfile.export, lock, project.root, service.extras, service.groups)
        if not smoke.checks:
            return main.result(), None
        groups = [*service.groups, *([smoke.group] if smoke.group else [])]
        checks = pool.submit(lockfile.export, lock, project.root, service.extras, groups)
        return main.result(), checks.result()


def _version() -> str:
    told = process.must([lockfile.binary(), "--version"], ResolveError, "uv does not run").decode().split()
    return told[1] if len(told) > 1 else "unknown"

"""Ruby's first act: the lock's choices for every platform."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from cdaf import languages, progress
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._ruby import gemfile, lockfile, numbers, platforms, select, stale
from cdaf.languages._ruby.gemfile import Gemfile
from cdaf.languages._ruby.values import Choice, Locked, Target
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project


class Read(NamedTuple):
    """The lock and the Gemfile beside it."""

    path: Path
    locked: Locked
    asked: Gemfile

    @property
    def gemfile(self) -> Path:
        """Where the Gemfile is."""
        return lockfile.manifest(self.path)

    @property
    def developed(self) -> set[str]:
        """What gemspecs of the Gemfile say their development needs."""
        return stale.development(self.path.parent) if self.asked.specs else set()


def read(project: Project) -> Read:
    """The project's lock and Gemfile. Raises ProjectError."""
    path = lockfile.find(project.root, project.repository)
    asked = lockfile.manifest(path)
    if not asked.is_file():
        raise ProjectError(f"{path.name} has no {asked.name} beside it", f"commit {asked.name}: Bundler runs it")
    return Read(path, lockfile.read(path), gemfile.read(asked))


def resolve(project: Project, pins: Pins) -> languages.Lock:
    """Read Gemfile.lock for every platform of the project. Raises ProjectError, ResolveError."""
    found = read(project)
    goals = targets(project, pins)
    if wrong := _wrong(project, found, goals):
        raise ProjectError(
            faults(found.path.name, wrong),
            f"run `bundle lock`, and commit {found.path.name}, or mend {project.file.name}",
        )
    _tell_unjudged(found)
    apart = {"main": left_out(project, found)}
    if project.settings.smoke.checks:
        apart["smoke"] = left_out(project, found, checks=True)
    chosen = select.choices(found.locked, found.asked, goals, apart, found.developed)
    chosen = _hashed(chosen, pins)
    files = {found.path.name: lockfile.redacted(found.path.read_bytes())}
    told = {"bundler-lockfile": found.locked.bundler or "unknown"}
    return languages.Lock(chosen, files, told, pins, _inputs(project, found, chosen))


def left_out(project: Project, found: Read, *, checks: bool = False) -> tuple[str, ...]:
    """The groups that the image lacks, or the checks' environment."""
    smoke, groups = project.settings.smoke.group, project.settings.service.groups
    return select.left_out(found.asked, [*groups, *([smoke] if checks and smoke else [])], smoke)


def tools(project: Project, target: Target, pins: Pins) -> tuple[Choice, ...]:
    """What [build] commands find beside them: the gems of every group, for one target."""
    found = read(project)
    chosen = select.choices(found.locked, found.asked, (target,), {"tools": ()}, found.developed)
    return _hashed(chosen, pins)


def check(project: Project) -> list[str]:
    """What would be refused before anything is fetched."""
    try:
        return _wrong(project, read(project), ())
    except ProjectError as error:
        return [error.message]


def of(lock: languages.Lock) -> tuple[Choice, ...]:
    """The lock's packages as the choices they are."""
    return tuple(each for each in lock.packages if isinstance(each, Choice))


def targets(project: Project, pins: Pins) -> tuple[Target, ...]:
    """The environments to fill, with the pinned facts of their bases. Raises ProjectError when one is not pinned."""
    image, smoke = project.settings.image, project.settings.smoke
    found = [Target(platform=each, base=_base(pins, base_of(project), each)) for each in image.platforms]
    if smoke.checks and smoke.image:
        found += [Target(platform=each, base=_base(pins, smoke.image, each), smoke=True) for each in image.platforms]
    return tuple(found)


def _base(pins: Pins, reference: str, platform: str) -> pinned.Base:
    found = pinned.base(pins, reference, platform)
    if not found.facts.interpreter:
        raise ResolveError(f"{reference} has no ruby for {platform}", "choose a base that has it")
    if not found.facts.interpreter_version:
        raise ResolveError(
            f"the version of {found.facts.interpreter} in {reference} cannot be told: RUBY_VERSION is not set there",
            "choose a base that sets it, as the official images do",
        )
    return found


def _wrong(project: Project, found: Read, goals: Sequence[Target]) -> list[str]:
    wrong = [*_unknown(project, found), *stale.faults(found.asked, found.locked, found.path.parent)]
    for target in goals:
        here, version = platforms.local(target), target.base.facts.interpreter_version
        if not platforms.supported(found.locked.platforms, here):
            there = ", ".join(found.locked.platforms)
            wrong.append(f"locked for {there}, and not for {here.name}: run `bundle lock --add-platform {here.name}`")
        asked = [each for each in map(numbers.normal, found.asked.ruby) if each]
        if asked and not numbers.satisfies(version, asked):
            wrong.append(f"asks for Ruby {', '.join(found.asked.ruby)}, and {target.base.reference} has {version}")
    return list(dict.fromkeys(wrong))


def _unknown(project: Project, found: Read) -> list[str]:
    """Settings that Ruby has no meaning for, and groups that the Gemfile is seen not to have."""
    service, smoke = project.settings.service, project.settings.smoke
    wrong = ["service.extras: Ruby's gems have none"] if service.extras else []
    known = select.declared(found.asked)
    named = [("service.groups", each) for each in service.groups]
    named += [("smoke.group", smoke.group)] if smoke.group else []
    for key, name in named if not found.asked.unjudged else []:
        if name not in {*known, gemfile.DEFAULT} and not (name in select.APART and found.asked.specs):
            close = difflib.get_close_matches(name, known, 1)
            near = f", did you mean {close[0]!r}?" if close else ""
            wrong.append(f"{key}: {name!r} is no group of {found.gemfile.name}{near}")
    return wrong


def _tell_unjudged(found: Read) -> None:
    if lines := found.asked.unjudged:
        shown = ", ".join(map(str, lines[:8])) + (" …" if len(lines) > 8 else "")
        one = "line" if len(lines) == 1 else "lines"
        progress.note(
            f"{found.gemfile.name} is Ruby code: {one} {shown} not judged, and taken as {found.path.name} has it"
        )


def _hashed(chosen: Sequence[Choice], pins: Pins) -> tuple[Choice, ...]:
    """The choices with the hashes that cdaf.lock has where the native lock has none."""
    known = {(each.name, each.version): each.hash for each in pins.archives}
    found, wrong = [], []
    for each in chosen:
        taken = each.hash or known.get((each.spec.name, each.spec.number), "")
        if not taken and each.kind == "gem":
            wrong.append(f"no hash of {each.spec.full}, and the native lock has none either")
        found.append(msgspec.structs.replace(each, hash=taken))
    if wrong:
        raise ProjectError(faults(pinned.NAME, wrong), f"run `cdaf lock`, and commit {pinned.NAME}")
    return tuple(found)


def folder(found: Read, remote: str) -> Path:
    """The folder that a PATH section names."""
    return Path(posixpath.normpath(posixpath.join(found.path.parent.as_posix(), remote)))


def _inputs(project: Project, found: Read, chosen: Sequence[Choice]) -> tuple[Path, ...]:
    folders = [folder(found, each.remote) for each in chosen if each.kind == "path"]
    beside = [found.path.parent / each for each in found.asked.files]
    own = [project.root] if project.settings.build.run else []
    paths = (found.path, found.gemfile, *beside, *folders, *own)
    return tuple(path for path in paths if path.is_relative_to(project.repository))

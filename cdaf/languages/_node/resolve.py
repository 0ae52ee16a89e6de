"""Node's first act: the lock's choices for every platform."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cdaf import languages, progress
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._node import graph as graphs
from cdaf.languages._node import lockfile, ranges, select, stale
from cdaf.languages._node.lockfile import Lockfile
from cdaf.languages._node.values import Alias, Choice, Places, Target
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project

DEVELOPMENT = "dev"  # the one group that Node's manifests have


class Chosen(NamedTuple):
    """What is laid out, and the links of the tree."""

    choices: tuple[Choice, ...]
    aliases: tuple[Alias, ...]


def resolve(project: Project, pins: Pins) -> languages.Lock:
    """Read the lock for every platform of the project. Raises ProjectError, ResolveError."""
    lock = read(project)
    stale.refuse(lock)
    if wrong := _unknown(project):
        raise ProjectError(faults(project.name, wrong), "mend each of them")
    goals = targets(project, pins)
    _demand_node(project, goals)
    chosen = _chosen(project, lock, goals)
    files = {lock.path.name: lockfile.redacted(lock.data)}
    told = {"npm-lockfile": str(lock.version)}
    packages: list[object] = [*chosen.choices, *chosen.aliases]
    return languages.Lock(packages, files, told, pins, _inputs(project, lock, chosen.choices))


def read(project: Project) -> Lockfile:
    """The project's lock."""
    return lockfile.read(lockfile.find(project.root, project.repository))


def check(project: Project) -> list[str]:
    """What would be refused before anything is fetched."""
    try:
        return _unknown(project) + stale.wrong(read(project))
    except ProjectError as error:
        return [error.message]


def _unknown(project: Project) -> list[str]:
    """Settings that Node has no meaning for."""
    service, group = project.settings.service, project.settings.smoke.group
    found = [f"service.{key}: Node's manifests have none" for key in ("extras", "groups") if getattr(service, key)]
    if group not in (None, DEVELOPMENT):
        found.append(f"smoke.group: {group!r} is none; Node's manifests have {DEVELOPMENT!r} alone")
    return found


def _demand_node(project: Project, goals: Sequence[Target]) -> None:
    """Raise ResolveError where the service runs on another Node than its own package.json asks for."""
    wanted = lockfile.node_of(lockfile.table(project.root / "package.json").get("engines"))
    wrong = [
        f"package.json asks for Node {wanted}, and {goal.base.reference} has {goal.node}"
        for goal in goals
        if not goal.smoke and goal.node and not ranges.satisfies(goal.node, wanted)
    ]
    if wrong:
        raise ResolveError(
            faults(project.name, list(dict.fromkeys(wrong))),
            "set image.base to one with such a Node, or change engines.node in package.json",
        )


def of(lock: languages.Lock) -> Chosen:
    """The lock's packages as what they are."""
    return Chosen(
        tuple(each for each in lock.packages if isinstance(each, Choice)),
        tuple(each for each in lock.packages if isinstance(each, Alias)),
    )


def places(project: Project) -> Places:
    """Where the lock's paths stand in the image."""
    folder = lockfile.find(project.root, project.repository).parent
    own = os.path.relpath(project.root, folder).replace(os.sep, "/")
    root = os.path.relpath(folder, project.repository).replace(os.sep, "/")
    return Places("" if root == "." else root, "" if own == "." else own)


def targets(project: Project, pins: Pins) -> tuple[Target, ...]:
    """The environments to fill, with the pinned facts of their bases. Raises ProjectError when one is not pinned."""
    image, smoke = project.settings.image, project.settings.smoke
    found = [Target(each, _base(pins, base_of(project), each)) for each in image.platforms]
    if smoke.checks and smoke.image:
        found += [Target(each, _base(pins, smoke.image, each), smoke=True) for each in image.platforms]
    return tuple(found)


def _base(pins: Pins, reference: str, platform: str) -> pinned.Base:
    found = pinned.base(pins, reference, platform)
    if not found.facts.interpreter:
        raise ResolveError(f"{reference} has no node for {platform}", "choose a base that has it")
    return found


def tools(project: Project, target: Target) -> Chosen:
    """What [build] commands find beside them: development dependencies too, for one target."""
    lock = read(project)
    return _tools(project.repository, lock.path, lock.data, _member(project, lock), target)


@lru_cache(maxsize=4)
def _tools(repository: Path, path: Path, data: bytes, service: str, target: Target) -> Chosen:
    lock = lockfile.parse(path, data)
    graph = graphs.make(lock.packages)
    keys = select.everything(graph, service, target)
    select.demand(graph, {target: keys})
    found, links = select.choices(path.parent, repository, lock, graph, {target.platform: keys}, {})
    return Chosen(tuple(found), tuple(links))


def _member(project: Project, lock: Lockfile) -> str:
    """The service as the lock knows it: "" for the lock's own project. Raises ProjectError for a stranger."""
    own = os.path.relpath(project.root, lock.path.parent).replace(os.sep, "/")
    if own == ".":
        return ""
    if own not in lock.packages:
        raise ProjectError(
            f"{lock.path} knows nothing of {own}",
            "make it a workspace of that project, or give it a lock of its own: `npm install --package-lock-only`",
        )
    return own


def _chosen(project: Project, lock: Lockfile, goals: Sequence[Target]) -> Chosen:
    graph, service = graphs.make(lock.packages), _member(project, lock)
    smoke = project.settings.smoke
    main, wanted = {}, {}
    for goal in goals:
        keys = select.image(graph, service, goal)
        whole = select.everything(graph, service, goal) if smoke.checks and smoke.group else keys
        if goal.smoke:
            wanted[goal] = whole
        else:
            main[goal] = keys
            if smoke.checks and not smoke.image:
                wanted[goal] = whole - keys
    select.demand(graph, main | wanted)
    if note := select.note(graph, main):
        progress.note(note)
    found, links = select.choices(
        lock.path.parent,
        project.repository,
        lock,
        graph,
        {goal.platform: keys for goal, keys in main.items()},
        {goal.platform: keys for goal, keys in wanted.items()},
    )
    return Chosen(tuple(found), tuple(links))


def _inputs(project: Project, lock: Lockfile, chosen: Sequence[Choice]) -> tuple[Path, ...]:
    """What decides the bundle beside the project's own files: the lock, manifests, folders, archives kept in git."""
    root = lock.path.parent
    found = [lock.path, root / "package.json", project.root / "package.json"]
    found += [root / each.folder for each in chosen if each.kind == "folder"]
    found += [root / each.url for each in chosen if each.kind == "file"]
    found += [project.root] if project.settings.build.run else []
    return tuple(Path(os.path.normpath(path)) for path in found if path.exists())

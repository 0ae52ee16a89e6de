"""What a build is sent: tracked files by an allow-list, the Dockerfile, and further folders by names of their own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from cdaf.languages._shared import tree
from cdaf.languages._shared.tree import Leaf
from cdaf.projects import git, pins, steady
from cdaf.projects.patterns import matching
from cdaf.projects.project import Project
from cdaf.settings import config

IMAGE = "docker-image://"
IGNORE = ".dockerignore"
_FILE, _LINK, _EXECUTABLE, _SUBMODULE = "100644", "120000", "100755", "160000"


class Context(msgspec.Struct, frozen=True):
    """The files of a build: `leaves` are the context's own, `named` those of further folders, `beside` the Dockerfile
    and what says which files it passes over.

    `inputs` are the files that decide what is built, and folders where all does that git tracks.
    """

    leaves: tuple[Leaf, ...]
    beside: tuple[Leaf, ...]
    named: dict[str, tuple[Leaf, ...]]
    inputs: tuple[Path, ...]

    @property
    def identity(self) -> str:
        """What is sent, as one digest."""
        groups = {".": self.leaves, "": self.beside, **self.named}
        return " ".join(f"{name}={tree.digest(groups[name])}" for name in sorted(groups))


def gather(project: Project, found: list[str]) -> Context:
    """The context as git tracks it; all that is wrong is added to `found`."""
    settings = project.settings.docker
    top = project.repository if settings.context else project.root
    tracked = {entry.name: entry for entry in git.tracked(top)}
    chosen = _chosen(settings.context, tracked, found) if settings.context else _service(tracked)
    if settings.context and IGNORE in tracked:
        chosen = {**chosen, IGNORE: tracked[IGNORE]}
    leaves = _leaves(top, chosen.values(), "docker.context", found)
    named = {
        name: _folder(project, name, where, found)
        for name, where in sorted(settings.contexts.items())
        if not where.startswith(IMAGE)
    }
    beside = _beside(project, found)
    inputs = [Path(os.path.realpath(project.repository / settings.contexts[name])) for name in named]
    inputs += [leaf.path for leaf in (*leaves, *beside)] if settings.context else [top]
    return Context(leaves, beside, named, tuple(inputs))


def _service(tracked: Mapping[str, git.Tracked]) -> dict[str, git.Tracked]:
    """All that git tracks below a service but cdaf's own: a new tag or pin would be another build."""
    return {name: each for name, each in tracked.items() if name not in (config.NAME, pins.NAME)}


def lay(context: Context, identity: str, into: Path) -> tuple[Path, Path, dict[str, Path]]:
    """Lay all of it out below a folder, modes and times fixed: the context, the Dockerfile, and the named folders.

    Raises ProjectError when that is not what `identity` was computed of: somebody wrote to the files since.
    """
    groups = {".": context.leaves, "": context.beside, **context.named}
    # BuildKit takes a file for one that it was sent before by the last name of its folder, and by path, size, mode and
    # time; the latter are fixed here, so that only a name of its own tells one content from another.
    own = hashlib.sha256(identity.encode()).hexdigest()
    places = {name: into / str(number) / f"{own[:40]}-{number}" for number, name in enumerate(groups)}
    laid = {}
    for name, place in places.items():
        place.mkdir(parents=True)
        try:
            laid[name] = tree.copy(groups[name], place)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise steady.changed(str(error.filename)) from error
    if Context(laid.pop("."), laid.pop(""), laid, ()).identity != identity:
        raise steady.changed("some that the build is sent")
    return places.pop("."), places.pop("") / "Dockerfile", places


def _chosen(patterns: Iterable[str], tracked: Mapping[str, git.Tracked], found: list[str]) -> dict[str, git.Tracked]:
    names: dict[str, None] = {}
    for pattern in patterns:
        hits = matching(pattern, tracked)
        if not hits:
            found.append(f"docker.context: {pattern!r} matches nothing that git tracks, from the repository's root")
        for name in hits:
            if tracked[name].mode == _SUBMODULE:
                found.append(f"docker.context: {name} is a submodule, and git tracks none of its files here")
        names |= dict.fromkeys(hits)
    return {name: tracked[name] for name in sorted(names)}


def _folder(project: Project, name: str, where: str, found: list[str]) -> tuple[Leaf, ...]:
    key, place = f"docker.contexts.{name}", project.repository / where
    real = Path(os.path.realpath(place))  # a link on the way may lead out of the repository
    is_inside = real.is_relative_to(os.path.realpath(project.repository))
    if where.startswith("/") or ".." in Path(where).parts or not is_inside or not place.is_dir():
        found.append(f"{key}: {where!r} is no folder of the repository, written from its root")
        return ()
    leaves = _leaves(place, git.tracked(place), key, found)
    if not leaves:
        found.append(f"{key}: git tracks nothing in {where}")
    return leaves


def _beside(project: Project, found: list[str]) -> tuple[Leaf, ...]:
    """The Dockerfile under its usual name, whatever it is called here, and its own list of what to pass over."""
    name = project.settings.docker.file
    if name.startswith("/") or ".." in Path(name).parts:
        found.append(f"docker.file: {name!r} leaves the service's folder")
        return ()
    tracked = {entry.name for entry in git.tracked(project.root)}
    if name not in tracked or not (project.root / name).is_file():
        why = "is not tracked by git: `git add` it" if (project.root / name).is_file() else "is not there"
        found.append(f"docker.file: {name} {why}")
        return ()
    wanted = {name: "Dockerfile", f"{name}{IGNORE}": f"Dockerfile{IGNORE}"}
    return tuple(Leaf(new, project.root / old) for old, new in wanted.items() if old in tracked)


def _leaves(top: Path, entries: Iterable[git.Tracked], key: str, found: list[str]) -> tuple[Leaf, ...]:
    leaves, real = [], os.path.realpath(top)  # a named folder may be reached by a link
    for entry in entries:
        path = top / entry.name
        if entry.mode == _LINK and path.is_symlink():
            target = str(path.readlink())
            # Not Path.resolve: below Python 3.13 it raises RuntimeError for links in a circle.
            if target.startswith("/") or not Path(os.path.realpath(path)).is_relative_to(real):
                found.append(f"{key}: {entry.name} is a symbolic link out of the context, to {target}")
            leaves.append(Leaf(entry.name, path, link=target))
        elif entry.mode in (_FILE, _EXECUTABLE) and path.is_file() and not path.is_symlink():
            leaves.append(Leaf(entry.name, path, entry.mode == _EXECUTABLE))
    return tuple(leaves)

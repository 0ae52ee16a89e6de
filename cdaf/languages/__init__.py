"""The languages cdaf knows: a module each, a line each.

A language turns a project into a lock, a lock into archives, and archives into an image plan; past the plan nobody
knows languages any more.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from cdaf.bundles.manifest import Dependency
from cdaf.images.content import Content
from cdaf.images.plan import Plans
from cdaf.images.sealed import Sealed
from cdaf.projects import pins
from cdaf.projects.pins import Base, Build, Facts, Pins

if TYPE_CHECKING:
    from cdaf.projects.project import Project
    from cdaf.projects.starter import Findings

MODULES = {
    "python": "cdaf.languages.python",
    "node": "cdaf.languages.node",
    "php": "cdaf.languages.php",
    "ruby": "cdaf.languages.ruby",
    "docker": "cdaf.languages.docker",
}
SEALING = ("docker",)  # those that bring an image whole, as a build of the service's own made it


class Lock(msgspec.Struct, frozen=True):
    """What a language's native lockfile says, for every platform of the project.

    `packages` are values of the language's own; only the language reads them. `files` are the native lockfiles as
    sealed under `locks/` (redacted bytes, by file name). `resolver` names the tools and versions that read them.
    `inputs` are the files and folders that decide what enters the bundle: lockfiles, manifests, sources to be built.
    """

    packages: Sequence[object]
    files: dict[str, bytes]
    resolver: dict[str, str]
    pins: Pins
    inputs: tuple[Path, ...] = ()


class Archive(msgspec.Struct, frozen=True):
    """One dependency in the cache, ready to be sealed: `path` holds its bytes, `dependency` describes it."""

    path: Path
    dependency: Dependency


class Collection(msgspec.Struct, frozen=True):
    """Everything the lock names, fetched and built."""

    lock: Lock
    archives: tuple[Archive, ...]


class Planned(msgspec.Struct, frozen=True):
    """A language's last act: the plans, and what they place that it made, by bundle member name (`generated/…`).

    `generated` are small files, `kept` larger ones that lie in the store. A language that brings its images whole
    has them in `sealed`, one for each platform, and no plans of them.
    """

    plans: Plans
    generated: dict[str, bytes]
    kept: dict[str, Content] = {}
    sealed: tuple[Sealed, ...] = ()
    license: str = ""  # of the service, as its manifest says it; an SPDX expression where it has one


class Language(Protocol):
    """What a language module provides."""

    NAME: str
    MANIFEST: str  # file name of what a service declares, beside which the lockfile is written
    LOCKFILES: tuple[str, ...]  # file names, searched upward to the repository's root
    LOCKING: str  # the command that writes the lockfile, for hints; empty where there is none
    BASE: str  # the default base image
    INTERPRETER: str  # program name whose path and version `Facts` hold ("python3")

    def identify(self, root: Path) -> tuple[str | None, str | None]:
        """Name and version as the language's own manifest in `root` declares them."""
        ...

    def check(self, project: Project) -> list[str]:
        """All faults of the native lock against the project's manifests, nothing fetched."""
        ...

    def pin(self, project: Project, bases: dict[str, Facts]) -> tuple[Build, ...]:
        """The build requirements to be written into `cdaf.lock`."""
        ...

    def pin_archives(self, project: Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
        """Hashes, to be written into `cdaf.lock`, of what the native lock names without one; `kept` are known."""
        ...

    def resolve(self, project: Project, pinned: Pins) -> Lock:
        """Read the native lock for every platform. Raises ProjectError, ResolveError."""
        ...

    def collect(self, project: Project, lock: Lock) -> Collection:
        """Fetch what the lock names and build what must be built. Raises ResolveError."""
        ...

    def look(self, root: Path, names: Sequence[str]) -> Findings:
        """What the files in `root`, by their names, tell a newcomer's first cdaf.toml."""
        ...

    def plan(self, project: Project, collection: Collection) -> Planned:
        """Lay out the image and the checks' layer. Raises ResolveError."""
        ...


class Lacking(msgspec.Struct, frozen=True):
    """What a service lacks that no language knows, and what mends that."""

    fault: str
    hint: str


def lacking(root: Path) -> Lacking:
    """What is wrong with a service without a lockfile, by the manifests that `root` has.

    A language that knows more of its own has a verb `lacking(root)`, with None where it has nothing to say.
    """
    wanted = sorted({file for name in MODULES for file in load(name).LOCKFILES})
    fault = f"no lockfile here or above ({', '.join(wanted)}), so nothing says what to package"
    for each in map(load, MODULES):
        verb: Callable[[Path], Lacking | None] | None = getattr(each, "lacking", None)
        if verb and (own := verb(root)):
            return msgspec.structs.replace(own, fault=own.fault or fault)
    there = [load(name) for name in MODULES if (root / load(name).MANIFEST).is_file()]
    commands = [f"`{each.LOCKING}`" for each in there if each.LOCKING]
    if commands:
        return Lacking(fault, f"run {' or '.join(commands)}, and commit the lockfile")
    return Lacking(fault, "commit a lockfile, or a Dockerfile: the image that it builds is packaged whole")


def named_by(name: str) -> str:
    """The file that a language takes a service's name from; its manifest, unless it has another as `NAMING`."""
    module = load(name)
    return str(getattr(module, "NAMING", module.MANIFEST))


def taken(name: str, root: Path) -> tuple[str, ...]:
    """Patterns of the service's own files that enter beyond [service] include, by the common layouts; most take none.

    A language that does has a verb `taken(root)` of its own.
    """
    verb: Callable[[Path], tuple[str, ...]] | None = getattr(load(name), "taken", None)
    return verb(root) if verb else ()


def relocking(language: Language) -> str:
    """What brings a lockfile into step again: the command that writes it, unless a language has another `RELOCKING`."""
    told = getattr(language, "RELOCKING", "")
    return str(told) or (f"run `{language.LOCKING}`" if language.LOCKING else "")


def load(name: str) -> Language:
    """The module of a language."""
    module: Language = importlib.import_module(MODULES[name])
    return module


def images(project: Project) -> tuple[str, ...]:
    """The images whose programs a language needs while packaging, to be pinned by digest; most need none.

    A language that does has a verb `images(project)` of its own.
    """
    verb: Callable[[Project], tuple[str, ...]] | None = getattr(load(project.language), "images", None)
    return verb(project) if verb else ()


def asked(project: Project, base: Base) -> Base:
    """A base with what only its interpreter can tell of itself; most languages need nothing of the kind.

    A language that does has a verb `ask(project, base)` of its own.
    """
    verb: Callable[[Project, Base], Base] | None = getattr(load(project.language), "ask", None)
    return verb(project, base) if verb else base


def detect(root: Path, top: Path) -> str | None:
    """The language whose lockfile is nearest at or above `root`, not above `top`.

    A build of the service's own in `root` serves where there is none, or where one lies above and `root` has no
    manifest for it; many a service with a lockfile has such a build beside it.
    """
    if own := _locked(root):
        return own
    above = next((found for folder in upward(root, top) if (found := _locked(folder))), None)
    if above and (root / load(above).MANIFEST).is_file():
        return above
    built = (name for name in SEALING if any((root / file).is_file() for file in load(name).LOCKFILES))
    return next(built, above)


def upward(root: Path, top: Path) -> Iterator[Path]:
    """The folders from `root` up to `top`, where a lockfile may lie."""
    return (folder for folder in (root, *root.parents) if folder.is_relative_to(top))


def _locked(folder: Path) -> str | None:
    """The language whose lockfile a folder has."""
    names = (name for name in MODULES if name not in SEALING)
    return next((name for name in names if any((folder / file).is_file() for file in load(name).LOCKFILES)), None)

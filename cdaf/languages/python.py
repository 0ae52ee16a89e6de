"""Python: uv.lock in, a virtual environment made of files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdaf import languages
from cdaf.projects import pins, project

if TYPE_CHECKING:
    from cdaf.projects import starter

NAME = "python"
MANIFEST = "pyproject.toml"
LOCKFILES = ("uv.lock",)
LOCKING = "uv lock"
BASE = "python:3.13-slim"
INTERPRETER = "python3"


def identify(root: Path) -> tuple[str | None, str | None]:
    """Name and version of pyproject.toml's [project]; a dynamic version is not known here."""
    from cdaf.languages._python.lockfile import manifest

    table = manifest(root / "pyproject.toml").get("project", {})
    return table.get("name"), table.get("version")


def lacking(root: Path) -> languages.Lacking | None:
    """What keeps uv from locking: requirements without a project, and a pyproject.toml without [project]."""
    from cdaf.languages._python import lockfile

    others = (languages.load(name).MANIFEST for name in languages.MODULES if name != NAME)
    return lockfile.lacking(root, alone=not any((root / each).is_file() for each in others))


def taken(root: Path) -> tuple[str, ...]:
    """The sources of a service that is a package, where build backends look for them."""
    from cdaf.languages._python import lockfile

    return lockfile.sources(root)


def check(project: project.Project) -> list[str]:
    """All faults of uv.lock against the project's manifests, nothing fetched."""
    from cdaf.languages._python import resolve as part

    return part.check(project)


def pin(project: project.Project, bases: dict[str, pins.Facts]) -> tuple[pins.Build, ...]:
    """The build requirements of everything that must be built, each a wheel by its hash."""
    from cdaf.languages._python import requirements

    return requirements.pin(project, bases)


def pin_archives(project: project.Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
    """None: uv.lock has a hash for each archive, or is refused."""
    del project, kept
    return ()


def resolve(project: project.Project, pinned: pins.Pins) -> languages.Lock:
    """Read uv.lock for every platform."""
    from cdaf.languages._python import resolve as part

    return part.resolve(project, pinned)


def collect(project: project.Project, lock: languages.Lock) -> languages.Collection:
    """Fetch what the lock names and build what must be built."""
    from cdaf.languages._python import collect as part

    return part.collect(project, lock)


def look(root: Path, names: Sequence[str]) -> starter.Findings:
    """What pyproject.toml and the sources tell a newcomer's first cdaf.toml."""
    from cdaf.languages._python import look as part

    return part.look(root, names)


def plan(project: project.Project, collection: languages.Collection) -> languages.Planned:
    """Lay out the virtual environment and the checks' layer."""
    from cdaf.languages._python import plan as part

    return part.plan(project, collection)

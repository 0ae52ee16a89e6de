"""Node: package-lock.json in, a tree of node_modules out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdaf import languages
from cdaf.projects import pins, project

if TYPE_CHECKING:
    from cdaf.projects import starter

NAME = "node"
MANIFEST = "package.json"
LOCKFILES = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock")
LOCKING = "npm install --package-lock-only"
BASE = "node:22-slim"
INTERPRETER = "node"


def identify(root: Path) -> tuple[str | None, str | None]:
    """Name, without its scope, and version of package.json."""
    from cdaf.languages._node.lockfile import manifest

    told = manifest(root / "package.json")
    return told.name.rpartition("/")[2] or None, told.version or None


def check(project: project.Project) -> list[str]:
    """All faults of the lock against the project's manifests, nothing fetched."""
    from cdaf.languages._node import resolve as part

    return part.check(project)


def pin(project: project.Project, bases: dict[str, pins.Facts]) -> tuple[pins.Build, ...]:
    """None: what is built is built of what the lock names."""
    del project, bases
    return ()


def pin_archives(project: project.Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
    """None: package-lock.json has a hash for each archive, or is refused."""
    del project, kept
    return ()


def resolve(project: project.Project, pinned: pins.Pins) -> languages.Lock:
    """Read the lock for every platform."""
    from cdaf.languages._node import resolve as part

    return part.resolve(project, pinned)


def collect(project: project.Project, lock: languages.Lock) -> languages.Collection:
    """Fetch what the lock names, and run the install scripts that are asked for."""
    from cdaf.languages._node import collect as part

    return part.collect(project, lock)


def look(root: Path, names: Sequence[str]) -> starter.Findings:
    """What package.json and the sources tell a newcomer's first cdaf.toml."""
    from cdaf.languages._node import look as part

    return part.look(root, names)


def plan(project: project.Project, collection: languages.Collection) -> languages.Planned:
    """Lay out node_modules and the checks' layer."""
    from cdaf.languages._node import plan as part

    return part.plan(project, collection)

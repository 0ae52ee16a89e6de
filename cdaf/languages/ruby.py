"""Ruby: Gemfile.lock in, gems as Bundler lays them out for deployment out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdaf import languages
from cdaf.projects import pins, project

if TYPE_CHECKING:
    from cdaf.projects import starter

NAME = "ruby"
MANIFEST = "Gemfile"
LOCKFILES = ("Gemfile.lock", "gems.locked")
LOCKING = "bundle lock"
NAMING = "the gemspec"
BASE = "ruby:3.4-slim"
INTERPRETER = "ruby"


def identify(root: Path) -> tuple[str | None, str | None]:
    """Name and version as a service that is a gem itself declares them, plainly; a Gemfile says neither."""
    from cdaf.languages._ruby import gemfile

    return gemfile.declared(root)


def check(project: project.Project) -> list[str]:
    """All faults of Gemfile.lock against the Gemfile, nothing fetched."""
    from cdaf.languages._ruby import resolve as part

    return part.check(project)


def pin(project: project.Project, bases: dict[str, pins.Facts]) -> tuple[pins.Build, ...]:
    """None: gems bring what building them needs, or the build image has it."""
    del project, bases
    return ()


def pin_archives(project: project.Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
    """The hash of each gem that the lock's CHECKSUMS do not have."""
    from cdaf.languages._ruby import obtain

    return obtain.pin(project, kept)


def resolve(project: project.Project, pinned: pins.Pins) -> languages.Lock:
    """Read Gemfile.lock for every platform."""
    from cdaf.languages._ruby import resolve as part

    return part.resolve(project, pinned)


def collect(project: project.Project, lock: languages.Lock) -> languages.Collection:
    """Fetch what the lock names and build what must be built."""
    from cdaf.languages._ruby import collect as part

    return part.collect(project, lock)


def look(root: Path, names: Sequence[str]) -> starter.Findings:
    """What the Gemfile and the sources tell a newcomer's first cdaf.toml."""
    from cdaf.languages._ruby import look as part

    return part.look(root, names)


def plan(project: project.Project, collection: languages.Collection) -> languages.Planned:
    """Lay out the gems and the checks' layer."""
    from cdaf.languages._ruby import plan as part

    return part.plan(project, collection)

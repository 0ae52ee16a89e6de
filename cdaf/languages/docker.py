"""Services with a Dockerfile of their own: BuildKit builds the image, and the bundle holds it whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdaf import languages
from cdaf.projects import pins, project

if TYPE_CHECKING:
    from cdaf.projects import starter

NAME = "docker"
MANIFEST = "Dockerfile"
LOCKFILES = ("Dockerfile",)
LOCKING = ""
BASE = "scratch"  # what a build stands on is its Dockerfile's to say
INTERPRETER = ""


def identify(root: Path) -> tuple[str | None, str | None]:
    """Neither name nor version: a Dockerfile declares none, so settings, folder and git do."""
    del root
    return None, None


def check(project: project.Project) -> list[str]:
    """All faults of the Dockerfile, of its context and of [docker], nothing fetched."""
    from cdaf.languages._docker import resolve as part

    return part.check(project)


def pin(project: project.Project, bases: dict[str, pins.Facts]) -> tuple[pins.Build, ...]:
    """None: what a build needs beyond its images, it takes from where its Dockerfile says."""
    del project, bases
    return ()


def pin_archives(project: project.Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
    """The images that the Dockerfile builds on, each by the digest of its index."""
    from cdaf.languages._docker import images as part

    return part.pin(project, kept)


def resolve(project: project.Project, pinned: pins.Pins) -> languages.Lock:
    """Read the Dockerfile, what its context holds, and the digests of the images it builds on."""
    from cdaf.languages._docker import resolve as part

    return part.resolve(project, pinned)


def collect(project: project.Project, lock: languages.Lock) -> languages.Collection:
    """Build the image of every platform, unless an earlier build had the same inputs."""
    from cdaf.languages._docker import build as part

    return part.collect(project, lock)


def look(root: Path, names: Sequence[str]) -> starter.Findings:
    """What the Dockerfile tells a newcomer's first cdaf.toml."""
    from cdaf.languages._docker import look as part

    return part.look(root, names)


def plan(project: project.Project, collection: languages.Collection) -> languages.Planned:
    """The images as they are, under the labels of this commit, and the checks' layer."""
    from cdaf.languages._docker import plan as part

    return part.plan(project, collection)

"""PHP: composer.lock in, a vendor folder out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdaf import languages
from cdaf.projects import pins, project

if TYPE_CHECKING:
    from cdaf.projects import starter

NAME = "php"
MANIFEST = "composer.json"
LOCKFILES = ("composer.lock",)
LOCKING = "composer update --no-install"
RELOCKING = "run `composer update --lock`, and `composer update NAME` for what composer.json asks anew"
BASE = "php:8.4-cli"
INTERPRETER = "php"


def identify(root: Path) -> tuple[str | None, str | None]:
    """The name in composer.json, without its vendor, and the version, which few have."""
    from cdaf.languages._php import lockfile

    return lockfile.identify(root)


def images(project: project.Project) -> tuple[str, ...]:
    """The image whose Composer writes the autoloader."""
    return (project.settings.php.composer,)


def ask(project: project.Project, base: pins.Base) -> pins.Base:
    """The base with the extensions that its PHP has."""
    from cdaf.languages._php import platform

    return platform.ask(project, base)


def check(project: project.Project) -> list[str]:
    """All faults of composer.lock against composer.json and the settings, nothing fetched."""
    from cdaf.languages._php import resolve as part

    return part.check(project)


def pin(project: project.Project, bases: dict[str, pins.Facts]) -> tuple[pins.Build, ...]:
    """None: nothing of a PHP package is built."""
    del project, bases
    return ()


def pin_archives(project: project.Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
    """Content-tree hashes of the archives that composer.lock names without a checksum."""
    from cdaf.languages._php import pinning

    return pinning.pin(project, kept)


def resolve(project: project.Project, pinned: pins.Pins) -> languages.Lock:
    """Read composer.lock."""
    from cdaf.languages._php import resolve as part

    return part.resolve(project, pinned)


def collect(project: project.Project, lock: languages.Lock) -> languages.Collection:
    """Fetch what the lock names."""
    from cdaf.languages._php import collect as part

    return part.collect(project, lock)


def look(root: Path, names: Sequence[str]) -> starter.Findings:
    """What composer.json and the sources tell a newcomer's first cdaf.toml."""
    from cdaf.languages._php import look as part

    return part.look(root, names)


def plan(project: project.Project, collection: languages.Collection) -> languages.Planned:
    """Lay out the vendor folder and the checks' layer."""
    from cdaf.languages._php import plan as part

    return part.plan(project, collection)

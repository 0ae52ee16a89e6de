"""Finding what is wrong with a project: before anything is fetched, and after its build has run once."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cdaf import flow, languages, places, progress
from cdaf.bundles.bundle import Bundle
from cdaf.errors import ProjectError, faults
from cdaf.projects import locking, pins, project
from cdaf.projects.project import Project

_FETCHED = ("archives", "blobs")  # kinds of the cache that hold what others made; all other kinds are made here


def check(root: Path) -> Project:
    """The project in `root`, once its settings, its files and both of its locks are found to be right.

    Raises ProjectError with all faults: of `cdaf.toml` and what it names first, then of the locks.
    """
    found = project.read(root)
    wrong = [*languages.load(found.language).check(found)]
    held = pins.read(locking.path(found))
    if held is None:
        progress.note(f"{pins.NAME} is not there yet: `cdaf lock` or `cdaf package` writes it")
    else:
        wrong += [f"{pins.NAME}: {fault}" for fault in locking.lacking(found, held)]
    if wrong:
        raise ProjectError(faults(found.name, wrong), "mend each of them, bring the locks up to date, and commit")
    return found


def repeat(sealed: Bundle, root: Path, flags: Mapping[str, object], *, release: bool) -> None:
    """Package once more, making everything anew from what was fetched, and demand the same bytes.

    Raises ProjectError that names every member that came out otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="cdaf-check-") as folder, _fresh_cache(Path(folder) / "cache"):
        again = flow.package(root, Path(folder) / "out", flags=flags, locked=True, release=release)
    if again.identity == sealed.identity:
        progress.note(f"packaged twice: {sealed.identity} both times")
        return
    names = sorted(set(sealed.members) | set(again.members))
    differing = [name for name in names if _digest(sealed, name) != _digest(again, name)]
    told = [f"{name} differs from one packaging to the next" for name in differing if name.partition("/")[2]]
    raise ProjectError(
        faults(f"{sealed.path.name} cannot be reproduced", told or differing),
        "make the service's build command give the same bytes each time (no clock, no random names)",
    )


def _digest(bundle: Bundle, name: str) -> str | None:
    member = bundle.members.get(name)
    return member.sha256 if member else None


@contextmanager
def _fresh_cache(place: Path) -> Iterator[None]:
    """A cache that knows only what was fetched."""
    old, told = places.cache(), os.environ.get("CDAF_CACHE")
    place.mkdir(parents=True)
    for kind in _FETCHED:
        (old / kind).mkdir(parents=True, exist_ok=True)
        (place / kind).symlink_to(old.absolute() / kind, target_is_directory=True)
    os.environ["CDAF_CACHE"] = str(place)
    try:
        yield
    finally:
        del os.environ["CDAF_CACHE"]
        if told is not None:
            os.environ["CDAF_CACHE"] = told

"""One environment's content: which archives it is spread from, and what stands where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from cdaf import languages
from cdaf.errors import ResolveError, faults
from cdaf.images import listing
from cdaf.images.plan import Entry, Place, Unpack
from cdaf.languages._python import venv, wheel
from cdaf.languages._python.values import VENV, Choice, Target
from cdaf.languages._python.wheel import Reading
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated


class Spread(msgspec.Struct, frozen=True):
    """One archive with its reading for one target; `own` is the service itself, `size` in bytes."""

    choice: Choice
    archive: languages.Archive
    reading: Reading
    size: int
    own: bool

    @property
    def label(self) -> str:
        """For people: name and version."""
        return f"{self.archive.dependency.name} {self.archive.dependency.version}"


def spreads(
    root: Path, choices: Iterable[Choice], archives: Sequence[languages.Archive], target: Target
) -> list[Spread]:
    """The archives that these choices became for one target, by name."""
    found = []
    for choice in choices:
        archive = _archive(choice, archives, target)
        dependency = archive.dependency
        filename = dependency.archive.rpartition("/")[2]
        reading = wheel.read(archive.path, dependency.sha256, filename, target.python)
        own = choice.kind == "directory" and Path(choice.directory) == root
        found.append(Spread(choice, archive, reading, archive.path.stat().st_size, own))
    return sorted(found, key=lambda each: each.choice.name)


def _archive(choice: Choice, archives: Sequence[languages.Archive], target: Target) -> languages.Archive:
    mine = [
        each
        for each in archives
        if each.dependency.name == choice.name
        and target.platform in each.dependency.platforms
        and (choice.kind != "wheel" or each.dependency.archive == f"deps/{choice.filename}")
    ]
    if len(mine) > 1:
        mine = _fitting(mine, target)
    return mine[0]


def _fitting(archives: Sequence[languages.Archive], target: Target) -> list[languages.Archive]:
    """Of several wheels built from one source, the one for this base."""
    from packaging.utils import parse_wheel_filename

    from cdaf.languages._python import environment

    tags = frozenset(environment.tags(target.base.facts, target.platform))
    names = {each.dependency.archive.rpartition("/")[2]: each for each in archives}
    return [each for name, each in names.items() if parse_wheel_filename(name)[3] & tags]


def repeated(spread: Sequence[Spread], before: Sequence[Spread], target: Target) -> dict[str, set[str]]:
    """The paths that a later package need not place, for an earlier one places the same bytes; by archive.

    `before` are packages of the image that checks stand on. Raises ResolveError for paths with two contents.
    """
    owners: dict[str, tuple[str, str]] = {}
    own = [
        f"lib/python{target.python}/site-packages",
        *(link.path.removeprefix(f"{VENV}/") for link in venv.links(target)),
    ]
    for path in ("pyvenv.cfg", *own[1:]):
        owners[path] = ("", "the virtual environment itself")
    again: dict[str, set[str]] = {}
    wrong = []
    for each in [*before, *spread]:
        for path, digest in each.reading.files.items():
            known, owner = owners.setdefault(path, (digest, each.label))
            if owner == each.label:
                continue
            if known == digest:
                again.setdefault(each.archive.dependency.archive, set()).add(path)
            else:
                wrong.append(f"{owner} and {each.label} both place {path}, and not the same")
    for path in sorted(listing.above(owners).keys() & owners.keys()):
        below = next(found for found in sorted(owners) if found.startswith(f"{path}/"))
        wrong.append(f"{owners[path][1]} places a file at {path}, and {owners[below][1]} one below it, {below}")
    if wrong:
        raise ResolveError(
            faults(f"the environment of {target.platform}", sorted(wrong)),
            "leave one of them out, or lock other versions",
        )
    return again


def entries(spread: Spread, target: Target, again: Mapping[str, set[str]], generated: Generated) -> list[Entry]:
    """How the plan spreads one archive and places what is generated beside it."""
    archive, reading = spread.archive.dependency.archive, spread.reading
    repeats = again.get(archive, set())
    skip = (*reading.skip, *sorted(members(reading, repeats, target) - {*reading.skip}))
    site = f"{VENV}/{wheel.site_packages(target.python)}"
    found: list[Entry] = [Unpack(archive, site, rewrites=reading.rewrites, skip=skip)]
    stem = archive.rpartition("/")[2].removesuffix(".whl")
    variant = f"python{target.python}{'-smoke' if target.smoke else ''}"
    for written in reading.written:
        if written.path not in repeats:
            name = written.path.rpartition("/")[2]
            name = (
                name if written.data == wheel.INSTALLER else f"{stem}/{'bin/' if written.mode == 0o755 else ''}{name}"
            )
            member = frame.generate(generated, name, written.data, variant)
            found.append(Place(member, f"{VENV}/{written.path}", written.mode))
    return found


def members(reading: Reading, paths: set[str], target: Target) -> set[str]:
    """The wheel's own names of paths in the environment."""
    found = set()
    for path in paths - {written.path for written in reading.written}:
        full = f"{VENV}/{path}"
        names = [
            f"{each.source}/{full[len(each.target) + 1 :]}"
            for each in reading.rewrites
            if full.startswith(each.target + "/")
        ]
        site = f"{wheel.site_packages(target.python)}/"
        found |= {*names, *([path.removeprefix(site)] if path.startswith(site) else [])}
    return found


def skeleton(target: Target, generated: Generated) -> tuple[Entry, ...]:
    """The virtual environment's own files."""
    member = frame.generate(generated, "pyvenv.cfg", venv.configuration(target), target.platform)
    return (Place(member, f"{VENV}/pyvenv.cfg"), *venv.links(target))

"""One package in its place below vendor."""

from __future__ import annotations

import msgspec

from cdaf import languages
from cdaf.images.plan import Entry, Link, Place, Unpack
from cdaf.languages._php import archive
from cdaf.languages._php.archive import Reading
from cdaf.languages._php.values import VENDOR, Package
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated


class Spread(msgspec.Struct, frozen=True):
    """One archive to be spread; `files` are those that stand in the image, by path below the package's folder."""

    package: Package
    archive: languages.Archive
    reading: Reading
    files: tuple[str, ...]

    @property
    def gone(self) -> tuple[str, ...]:
        """The files that are left out."""
        kept = frozenset(self.files)
        return tuple(path for path in self.reading.items if path not in kept)


def of(package: Package, sealed: languages.Archive) -> Spread:
    """All that an archive holds. Raises ResolveError for one that is damaged or unsafe."""
    reading = archive.read(sealed.path, sealed.dependency.sha256, package.label, whole=package.is_written_anew)
    return Spread(package, sealed, reading, tuple(reading.items))


def entries(spread: Spread, generated: Generated) -> list[Entry]:
    """How the plan spreads one archive: its files, its links, its programs made to run."""
    reading, member = spread.reading, spread.archive.dependency.archive
    prefix = f"{VENDOR}/{spread.package.name}"
    links = {path: item.link for path, item in reading.items.items() if item.link and path in spread.files}
    bins = _idle(spread)
    skip = {*reading.skip, *map(reading.member, (*spread.gone, *links, *bins))}
    found: list[Entry] = [Unpack(member, prefix, strip=1 if reading.top else 0, skip=tuple(sorted(skip)))]
    found += [Link(f"{prefix}/{path}", target) for path, target in sorted(links.items())]
    return [*found, *(_program(spread, path, generated) for path in bins)]


def programs(spread: Spread, generated: Generated) -> list[Place]:
    """The package's programs alone."""
    return [_program(spread, path, generated) for path in spread.package.bins if path in spread.files]


def _idle(spread: Spread) -> list[str]:
    """Programs that cannot be run as the archive has them; Composer makes them so."""
    items = spread.reading.items
    return [path for path in spread.package.bins if path in spread.files and not items[path].executable]


def _program(spread: Spread, path: str, generated: Generated) -> Place:
    data = archive.bytes_of(spread.archive.path, spread.reading, path)
    stem = spread.archive.dependency.archive.removeprefix("deps/").rpartition(".")[0]
    member = frame.generate(generated, f"{stem}/{path}", data, "bin")
    return Place(member, f"{VENDOR}/{spread.package.name}/{path}", 0o755)

"""Native files of packages and of the service itself: programs have to fit the base, other files are only told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdaf.bases import elf
from cdaf.bases.audit import File
from cdaf.bases.elf import Elf
from cdaf.images.plan import Place
from cdaf.languages._php.spread import Spread
from cdaf.languages._php.values import VENDOR
from cdaf.languages._shared import audit, frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects.pins import Base
from cdaf.projects.project import Project

_SERVICE = "the service's own files"


def demand(
    project: Project,
    bases: Sequence[Base],
    spreads: Sequence[Spread],
    made: Mapping[str, Place],
    generated: Generated,
) -> None:
    """Hold the native files of all images against their bases. Raises ResolveError, ProjectError."""
    own = {**dict(_tracked(project)), **dict(_made(made, generated))}
    files = [
        *_archived(spreads),
        *(File(f"{frame.FOLDER}/{name}", name, _SERVICE, each, False) for name, each in own.items()),
    ]
    audit.demand(project, [(base, files) for base in bases])


def _archived(spreads: Sequence[Spread]) -> Iterator[File]:
    for each in spreads:
        for path in each.files:
            native = each.reading.items[path].native
            if native:
                name = f"{each.package.name}/{path}"
                yield File(f"{VENDOR}/{name}", name, each.package.label, native, path in each.package.bins)


def _tracked(project: Project) -> Iterator[tuple[str, Elf]]:
    for file in project.files:
        if not file.link:
            with file.path.open("rb", buffering=0) as opened:
                if opened.read(len(elf.MAGIC)) == elf.MAGIC:
                    opened.seek(0)
                    found = elf.of_bytes(opened.read())
                    if found:
                        yield file.name, found


def _made(made: Mapping[str, Place], generated: Generated) -> Iterator[tuple[str, Elf]]:
    for name, place in made.items():
        if found := elf.of_bytes(generated[place.member]):
            yield name, found

"""Which native files of a tree Node loads, and whether the base can load them.

A package that is for one platform is loaded, and so is what an install script built. Of prebuilt files for many
platforms in one package, those that are for this one count; the others are only data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdaf.bases import elf
from cdaf.bases.audit import File
from cdaf.images.content import Content
from cdaf.images.plan import Place
from cdaf.languages._node import scripts
from cdaf.languages._node.layout import Spread
from cdaf.languages._node.values import FOLDER, Target, short
from cdaf.languages._shared import audit
from cdaf.languages._shared.frame import Generated
from cdaf.projects.project import Project


def demand(
    project: Project,
    laid: Sequence[tuple[Target, Sequence[Spread]]],
    checks: Sequence[tuple[Target, Sequence[Spread], Sequence[Spread]]],
    made: Mapping[str, Place],
    generated: Generated,
) -> None:
    """Hold the native files of all images and of their checks against their bases. Raises ResolveError, ProjectError.

    `checks` are packages, and those of the image that they stand on.
    """
    own = audit.own(project, made, generated)
    found = [audit.Laid(target.base, [*_files(spread, target), *_own(own)]) for target, spread in laid]
    for target, spread, before in checks:
        below = [] if target.smoke else [*_files(before, target), *_own(own)]
        found.append(audit.Laid(target.base, [*_files(spread, target, before)], below, checks=True))
    audit.demand(project, found)


def _files(spread: Sequence[Spread], target: Target, before: Sequence[Spread] = ()) -> Iterator[File]:
    excused = _excused([*before, *spread], target)
    for each in spread:
        if each.choice.name in excused:
            continue
        bins = {*each.reading.package.bin.values()}
        for path, found in each.reading.native.items():
            if path in each.gone:
                continue
            if not each.choice.native and (
                not elf.fits(found, target.platform) or scripts.is_foreign(path, found, target)
            ):
                continue
            loaded = path.endswith(".node") or path in bins
            yield _file(each, path, found, loaded, portable=True)
        for one in each.made:
            if one.content and (elves := _elf(one.content)):
                yield _file(each, one.path, elves, one.path.endswith(".node"), portable=False)


def _excused(spread: Sequence[Spread], target: Target) -> set[str]:
    """Packages for the other libc beside one that fits: locks of older npm do not say which is which."""
    native = {each.choice.name: each.reading.native for each in spread if each.choice.native and each.reading.native}
    foreign = {name for name, found in native.items() if all(scripts.is_foreign(*one, target) for one in found.items())}
    beside: set[str] = set()
    for each in spread if foreign else ():
        needs = {*each.choice.requires}
        beside |= needs & foreign if needs & (native.keys() - foreign) else set()
    return beside


def _file(spread: Spread, path: str, found: elf.Elf, loaded: bool, *, portable: bool) -> File:
    place = f"{spread.prefix}/{path}"
    return File(place, short(place), spread.choice.label, found, loaded, spread.choice.native, portable)


def _elf(content: Content) -> elf.Elf | None:
    if content.path is None:
        return None
    with content.path.open("rb") as file:
        if file.read(len(elf.MAGIC)) != elf.MAGIC:
            return None
        file.seek(0)
        return elf.of_bytes(file.read())


def _own(own: Mapping[str, elf.Elf]) -> Iterator[File]:
    for name, found in own.items():
        yield File(f"{FOLDER}/{name}", name, audit.SERVICE, found, name.endswith(".node"))

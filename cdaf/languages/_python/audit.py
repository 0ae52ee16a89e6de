"""Which native files of an environment Python loads by itself, and whether the base can load them.

Extension modules and programs on PATH have to fit, and so has every library that they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdaf.bases.audit import File
from cdaf.bases.elf import Elf
from cdaf.images.plan import Place
from cdaf.languages._python import modules, wheel
from cdaf.languages._python.content import Spread
from cdaf.languages._python.values import VENV, Target
from cdaf.languages._shared import audit
from cdaf.languages._shared.frame import Generated
from cdaf.projects.project import Project


def demand(
    project: Project,
    laid: Sequence[tuple[Target, Sequence[Spread]]],
    checks: Sequence[tuple[Target, Sequence[Spread], Sequence[Spread]]],
    made: Mapping[str, Place],
    generated: Generated,
    folder: str,
) -> None:
    """Hold the native files of all images and of their checks against their bases.

    `checks` are packages, and those of the image that they stand on. Raises ResolveError with everything that a base
    cannot load, ProjectError for patterns that name no native file.
    """
    own = audit.own(project, made, generated, modules.entrance)

    def files(target: Target, spread: Sequence[Spread]) -> list[File]:
        return [*_archived(spread, target), *_own(own, folder, target)]

    found = [audit.Laid(target.base, files(target, spread)) for target, spread in laid]
    for target, spread, before in checks:
        below = [] if target.smoke else files(target, before)
        found.append(audit.Laid(target.base, [*_archived(spread, target)], below, checks=True))
    audit.demand(project, found)


def _archived(spread: Sequence[Spread], target: Target) -> Iterator[File]:
    site = f"{wheel.site_packages(target.python)}/"
    for each in spread:
        tags = each.archive.dependency.archive.rpartition("-")[2]
        native, portable = tags != "any.whl", "manylinux" in tags or "musllinux" in tags
        elves = {path: found for path, found in each.reading.native.items() if path in each.reading.files}
        imported = modules.loadable({path.removeprefix(site): found for path, found in elves.items()}, target)
        for path, found in elves.items():
            name = path.removeprefix(site)
            loaded = name in imported or path.startswith("bin/")
            yield File(f"{VENV}/{path}", name, each.label, found, loaded, native, portable)


def _own(own: Mapping[str, Elf], folder: str, target: Target) -> Iterator[File]:
    imported = modules.loadable(own, target)
    for name, found in own.items():
        yield File(f"{folder}/{name}", name, audit.SERVICE, found, name in imported)

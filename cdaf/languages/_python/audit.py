"""Which native files of an environment Python loads by itself, and whether the base can load them.

Extension modules and programs on PATH have to fit, and so has every library that they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cdaf import progress
from cdaf.bases import audit, elf
from cdaf.bases.audit import File, Misfit
from cdaf.bases.elf import Elf
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.images.plan import Place
from cdaf.languages._python import modules, wheel
from cdaf.languages._python.content import Generated, Spread
from cdaf.languages._python.values import VENV, Target
from cdaf.projects.patterns import matching
from cdaf.projects.project import Project

_SERVICE = "the service's own files"


def demand(
    project: Project,
    laid: Sequence[tuple[Target, Sequence[Spread]]],
    made: Mapping[str, Place],
    generated: Generated,
    folder: str,
) -> None:
    """Hold the native files of all images against their bases.

    Raises ResolveError with everything that a base cannot load, ProjectError for patterns that name no native file.
    """
    own = {**_tracked(project), **_made(made, generated)}
    wrong, idle = [], set(project.settings.image.unaudited)
    for target, spread in laid:
        files = [*_archived(spread, target), *_own(own, folder, target)]
        idle -= {pattern for pattern in idle if matching(pattern, (each.name for each in files))}
        loaded, others = audit.misfits(files, target.base)
        wrong += [f"{target.platform}: {line}" for line in audit.faults(_audited(project, loaded))]
        for line in audit.notes(_audited(project, others)):
            progress.note(f"{target.platform}: {line}; its package may do without")
    if idle:
        raise ProjectError(
            faults("image.unaudited", [f"{each!r} matches no native file of the image" for each in sorted(idle)]),
            "correct the patterns, or leave them out",
        )
    if wrong:
        hint = "mend each; a file that the service gets by without may be named in image.unaudited"
        raise ResolveError(faults("native files that the base cannot load", wrong), hint)


def _audited(project: Project, found: Iterable[Misfit]) -> list[Misfit]:
    patterns = project.settings.image.unaudited
    return [each for each in found if not any(matching(pattern, (each.file.name,)) for pattern in patterns)]


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
        yield File(f"{folder}/{name}", name, _SERVICE, found, name in imported)


def _tracked(project: Project) -> dict[str, Elf]:
    found = {}
    for file in project.files:
        if not file.link:
            with file.path.open("rb", buffering=0) as opened:
                if opened.read(len(elf.MAGIC)) == elf.MAGIC:
                    opened.seek(0)
                    found[file.name] = elf.of_bytes(opened.read(), modules.entrance(file.name))
    return {name: each for name, each in found.items() if each}


def _made(made: Mapping[str, Place], generated: Generated) -> dict[str, Elf]:
    found = {name: elf.of_bytes(generated[place.member], modules.entrance(name)) for name, place in made.items()}
    return {name: each for name, each in found.items() if each}

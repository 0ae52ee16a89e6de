"""Holding the native files of images against their bases, whatever language loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from cdaf import progress
from cdaf.bases import audit, elf
from cdaf.bases.audit import File, Misfit
from cdaf.bases.elf import Elf
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.images.plan import Place
from cdaf.languages._shared.frame import Generated
from cdaf.projects.patterns import matching
from cdaf.projects.pins import Base
from cdaf.projects.project import Project

SERVICE = "the service's own files"  # as messages call them


class Laid(msgspec.Struct, frozen=True):
    """The native files of an image, or with `checks` of the environment of its checks.

    Checks that run on top of the image have its files `below` theirs; those on a base of their own have none.
    """

    base: Base
    files: Sequence[File]
    below: Sequence[File] = ()
    checks: bool = False

    @property
    def label(self) -> str:
        """For people: the platform, and whether it is the checks'."""
        return f"{self.base.platform}, checks" if self.checks else self.base.platform


def demand(project: Project, laid: Iterable[Laid]) -> None:
    """Hold the native files of all images, and of their checks, against their bases.

    Raises ResolveError with everything that a base cannot load, ProjectError for patterns that name no native file.
    """
    wrong, idle = [], set(project.settings.image.unaudited)
    for each in laid:
        idle -= {pattern for pattern in idle if matching(pattern, (file.name for file in each.files))}
        loaded, others = audit.misfits(each.files, each.base, each.below)
        wrong += [f"{each.label}: {line}" for line in audit.faults(_audited(project, loaded))]
        for line in audit.notes(_audited(project, others)):
            progress.note(f"{each.label}: {line}; its package may do without")
    if idle:
        unmatched = [f"{each!r} matches no native file of the image or of its checks" for each in sorted(idle)]
        raise ProjectError(faults("image.unaudited", unmatched), "correct the patterns, or leave them out")
    if wrong:
        hint = "mend each; a file that the service or its checks get by without may be named in image.unaudited"
        raise ResolveError(faults("native files that the base cannot load", wrong), hint)


def own(
    project: Project, made: Mapping[str, Place], generated: Generated, entrance: Callable[[str], str] = lambda _: ""
) -> dict[str, Elf]:
    """The native files among the service's own, tracked or made by [build], by their path below /app.

    `entrance` is the symbol by which a file of that name would be entered (`elf.of_bytes`).
    """
    found = {name: elf.of_bytes(generated[place.member], entrance(name)) for name, place in made.items()}
    for file in project.files:
        if not file.link and file.name not in found:
            with file.path.open("rb", buffering=0) as opened:
                if opened.read(len(elf.MAGIC)) == elf.MAGIC:
                    opened.seek(0)
                    found[file.name] = elf.of_bytes(opened.read(), entrance(file.name))
    return {name: each for name, each in sorted(found.items()) if each}


def _audited(project: Project, found: Iterable[Misfit]) -> list[Misfit]:
    patterns = project.settings.image.unaudited
    return [each for each in found if not any(matching(pattern, (each.file.name,)) for pattern in patterns)]

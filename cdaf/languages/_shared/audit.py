"""Holding the native files of images against their bases, whatever language loads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdaf import progress
from cdaf.bases import audit
from cdaf.bases.audit import File, Misfit
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.projects.patterns import matching
from cdaf.projects.pins import Base
from cdaf.projects.project import Project


def demand(project: Project, laid: Sequence[tuple[Base, Sequence[File]]]) -> None:
    """Hold the native files of all images against their bases.

    Raises ResolveError with everything that a base cannot load, ProjectError for patterns that name no native file.
    """
    wrong, idle = [], set(project.settings.image.unaudited)
    for base, files in laid:
        idle -= {pattern for pattern in idle if matching(pattern, (each.name for each in files))}
        loaded, others = audit.misfits(files, base)
        wrong += [f"{base.platform}: {line}" for line in audit.faults(_audited(project, loaded))]
        for line in audit.notes(_audited(project, others)):
            progress.note(f"{base.platform}: {line}; its package may do without")
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

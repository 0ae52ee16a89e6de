"""Native files of packages and of the service itself: programs have to fit the base, other files are only told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdaf.bases.audit import File
from cdaf.images.plan import Place
from cdaf.languages._php.spread import Spread
from cdaf.languages._php.values import VENDOR
from cdaf.languages._shared import audit, frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects.pins import Base
from cdaf.projects.project import Project


def demand(
    project: Project,
    bases: Sequence[Base],
    spreads: Sequence[Spread],
    checks: tuple[Sequence[Base], Sequence[Spread]],
    made: Mapping[str, Place],
    generated: Generated,
) -> None:
    """Hold the native files of all images and of their checks against their bases. Raises ResolveError, ProjectError.

    `checks` are their bases and packages; on the images' own bases they stand on top of the images.
    """
    own = audit.own(project, made, generated)
    files = [
        *_archived(spreads),
        *(File(f"{frame.FOLDER}/{name}", name, audit.SERVICE, each, False) for name, each in own.items()),
    ]
    below, checked = () if project.settings.smoke.image else files, [*_archived(checks[1])]
    audit.demand(
        project,
        [
            *(audit.Laid(base, files) for base in bases),
            *(audit.Laid(base, checked, below, checks=True) for base in checks[0]),
        ],
    )


def _archived(spreads: Sequence[Spread]) -> Iterator[File]:
    for each in spreads:
        for path in each.files:
            native = each.reading.items[path].native
            if native:
                name = f"{each.package.name}/{path}"
                yield File(f"{VENDOR}/{name}", name, each.package.label, native, path in each.package.bins)

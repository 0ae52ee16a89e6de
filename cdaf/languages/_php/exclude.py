"""Leaving files of packages out of the image by `[image] exclude`; a path is named as it stands below vendor."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cdaf.errors import ProjectError, faults
from cdaf.languages._php.spread import Spread
from cdaf.languages._shared import exclude
from cdaf.projects.patterns import matching


def apply(spreads: Sequence[Spread], patterns: Sequence[str]) -> list[Spread]:
    """The same archives without the files that a pattern matches; idle patterns are told.

    Raises ProjectError when a pattern would leave a package's programs out.
    """
    used: set[str] = set()
    found = []
    for each in spreads:
        names = {f"{each.package.name}/{path}": path for path in each.files}
        hits = {pattern: set(matching(pattern, names)) for pattern in patterns}
        used |= {pattern for pattern, matched in hits.items() if matched}
        gone = {names[name] for matched in hits.values() for name in matched}
        if lost := [path for path in each.package.bins if path in gone]:
            raise ProjectError(
                faults("image.exclude", [f"it would leave out {lost[0]} of {each.package.label}, which is a program"]),
                "write the patterns more narrowly",
            )
        found.append(msgspec.structs.replace(each, files=tuple(path for path in each.files if path not in gone)))
    exclude.tell_idle(patterns, used)
    return found

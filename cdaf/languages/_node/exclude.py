"""Leaving files of packages out of the image by `[image] exclude`, named as they stand below node_modules."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cdaf.errors import ProjectError, faults
from cdaf.languages._node.layout import Spread
from cdaf.languages._node.values import short
from cdaf.projects.patterns import matching


def apply(spread: Sequence[Spread], patterns: Sequence[str], used: set[str]) -> list[Spread]:
    """The same packages without the files that a pattern matches; patterns that match are added to `used`.

    Raises ProjectError for a pattern that would take a package.json, by which Node knows a package.
    """
    found, wrong = [], []
    for each in spread:
        names = {path: short(f"{each.prefix}/{path}") for path in each.paths()} if patterns else {}
        gone: set[str] = set()
        for pattern in patterns:
            matched = set(matching(pattern, names.values()))
            hits = {path for path, name in names.items() if name in matched}
            used |= {pattern} if hits else set()
            gone |= hits
            if "package.json" in hits:
                wrong.append(f"{pattern!r} would leave out the package.json of {each.choice.label}")
        found.append(_without(each, gone) if gone else each)
    if wrong:
        raise ProjectError(
            faults("image.exclude takes what Node knows packages by", wrong), "write the patterns more narrowly"
        )
    return found


def _without(spread: Spread, gone: set[str]) -> Spread:
    made = tuple(each for each in spread.made if each.path not in gone)
    return msgspec.structs.replace(spread, gone=spread.gone | gone, made=made)

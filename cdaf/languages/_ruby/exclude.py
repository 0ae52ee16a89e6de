"""Leaving files of gems out of the image by `[image] exclude`: a path is named as it stands below the gems folder."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cdaf.languages._ruby.content import Spread
from cdaf.projects.patterns import matching

_GEMS = "gems/"


def apply(spread: Sequence[Spread], patterns: Sequence[str], used: set[str]) -> list[Spread]:
    """The same gems without the files that a pattern matches; patterns that match are added to `used`."""
    return [_without(each, patterns, used) for each in spread] if patterns else list(spread)


def _without(each: Spread, patterns: Sequence[str], used: set[str]) -> Spread:
    own = {f"{each.name}/{path}": path for path in each.part.reading.files}
    made = each.built.files if each.built else ()
    made_names = {path.removeprefix(_GEMS): path for path in made if path.startswith(_GEMS)}
    gone: set[str] = set()
    for pattern in patterns:
        hits = set(matching(pattern, [*own, *made_names]))
        used |= {pattern} if hits else set()
        gone |= hits
    if not gone:
        return each
    return msgspec.structs.replace(
        each,
        skip=tuple(sorted(own[name] for name in gone & own.keys())),
        skip_built=tuple(sorted(made_names[name] for name in gone & made_names.keys())),
    )

"""Refusing settings: each fault is told of whatever it came from, a flag, a variable or the file."""

import re
from collections.abc import Mapping, Sequence

from cdaf.errors import CdafError, ProjectError, UsageError, faults

_KEY = re.compile(r"([a-z]+\.\w+)((?:\.|\[)[^\s:]*)?: ")
_VARIABLE = re.compile(r"(CDAF_\w+)(): ")


def refuse(file: str, origins: Mapping[str, str], found: Sequence[str]) -> CdafError:
    """The error that tells all faults, each `table.key: what is wrong`; the key gives way to its origin where that
    is not the file.

    A UsageError when the command line alone can mend them, else a ProjectError.
    """
    placed = [_placed(fault, file, origins) for fault in found]
    places = list(dict.fromkeys(place for place, _ in placed))
    single = places != [file] and len(places) == 1
    told = [text.removeprefix(f"{place}: ") if single else text for place, text in placed]
    message = faults(" and ".join(places), told)
    if file in places:
        return ProjectError(message, "mend each of them; `cdaf schema` prints every key and its type")
    kind = UsageError if all(place.startswith("--") for place in places) else ProjectError
    return kind(message, f"correct {' and '.join(places)}; `cdaf schema` prints every key and its type")


def _placed(fault: str, file: str, origins: Mapping[str, str]) -> tuple[str, str]:
    """Where a fault comes from, and its text with that place before it."""
    told = _VARIABLE.match(fault)
    if told:
        return told[1], fault
    key = _KEY.match(fault)
    place = origins.get(key[1], file) if key else file
    if key is None or place == file:
        return file, fault
    return place, f"{place}{key[2] or ''}: {fault[key.end() :]}"

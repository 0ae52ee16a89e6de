"""Whether a version lies in a range as npm writes them (node-semver's README): enough for `engines`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_Version = tuple[int, int, int]
_PARTIAL = r"[v=\s]*([0-9]+|[xX*])(?:\.([0-9]+|[xX*])(?:\.([0-9]+|[xX*])(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?)?"
_COMPARATOR = re.compile(rf"(\^|~>?|>=|<=|>|<|=)?\s*{_PARTIAL}$")
_HYPHEN = re.compile(rf"^\s*{_PARTIAL}\s+-\s+{_PARTIAL}\s*$")
_SPACED = re.compile(r"(\^|~>?|>=|<=|>|<|=)\s+")
_LAST = 1 << 60
_EARLY = {"=": "!", "<=": "<", ">": ">="}


def satisfies(version: str, wanted: str) -> bool:
    """Whether a release fits a range; one that cannot be understood is taken to fit."""
    told = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if not told:
        return True
    have = int(told[1]), int(told[2]), int(told[3])
    try:
        return any(all(low <= have < high for low, high in _bounds(part)) for part in wanted.split("||"))
    except ValueError:
        return True


def _bounds(text: str) -> Iterator[tuple[_Version, _Version]]:
    """Half-open intervals that all have to hold. Raises ValueError for what is no range."""
    hyphen = _HYPHEN.match(text)
    if hyphen:
        low, high = hyphen.groups()[:3], hyphen.groups()[4:7]
        yield _low(low), _after(high)
        return
    for each in _SPACED.sub(r"\1", text.strip()).split():
        found = _COMPARATOR.match(each)
        if not found:
            raise ValueError(each)
        sign = found[1] or "="
        early = _EARLY.get(sign, sign) if found[5] else sign  # a release comes after all that came before it
        yield ((0, 0, 0), (0, 0, 0)) if early == "!" else _bound(early, found.groups()[1:4])


def _bound(sign: str, parts: tuple[str | None, ...]) -> tuple[_Version, _Version]:
    low, after, first, last = _low(parts), _after(parts), (0, 0, 0), (_LAST, 0, 0)
    free = _number(parts[0]) is None
    tilde = after if _number(parts[1]) is None else (low[0], low[1] + 1, 0)
    found: dict[str, tuple[_Version, _Version]] = {
        ">=": (low, last),
        ">": (first, first) if free else (after, last),
        "<": (first, first) if free else (first, low),
        "<=": (first, after),
        "^": (low, _caret(parts)),
        "~": (low, tilde),
        "~>": (low, tilde),
    }
    return found.get(sign, (low, after))  # "=", and a version alone


def _caret(parts: tuple[str | None, ...]) -> _Version:
    """Up to the next change of the leftmost part that is not zero."""
    major, minor, patch = _low(parts)
    if _number(parts[0]) is None:
        return (_LAST, 0, 0)
    if major or _number(parts[1]) is None:
        return major + 1, 0, 0
    if minor or _number(parts[2]) is None:
        return 0, minor + 1, 0
    return 0, 0, patch + 1


def _number(part: str | None) -> int | None:
    return int(part) if part and part.isdigit() else None


def _low(parts: tuple[str | None, ...]) -> _Version:
    major, minor, patch = (_number(part) for part in parts)
    if major is None:
        return 0, 0, 0
    return major, minor or 0, (patch or 0) if minor is not None else 0


def _after(parts: tuple[str | None, ...]) -> _Version:
    """The first version that a partial one does not stand for."""
    major, minor, patch = (_number(part) for part in parts)
    if major is None:
        return (_LAST, 0, 0)
    if minor is None:
        return major + 1, 0, 0
    if patch is None:
        return major, minor + 1, 0
    return major, minor, patch + 1

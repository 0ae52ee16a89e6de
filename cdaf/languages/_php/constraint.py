"""Composer's version constraints, as far as versions of PHP and its extensions go: numbers alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Version = tuple[int, int, int, int]
_PART = r"v?(\d+)(?:\.(\d+|[x*]))?(?:\.(\d+|[x*]))?(?:\.(\d+|[x*]))?"
_TAIL = r"(?:[-.]?(?:stable|beta|b|RC|alpha|a|patch|pl|p|dev)[.-]?\d*)*(?:\+[^\s]+)?"
_SINGLE = re.compile(rf"(\^|~|>=|<=|!=|<>|==|=|>|<)?\s*{_PART}{_TAIL}", re.IGNORECASE)
_HYPHEN = re.compile(rf"({_PART}{_TAIL})\s+-\s+({_PART}{_TAIL})", re.IGNORECASE)
_OR = re.compile(r"\s*\|\|?\s*")
_FLAG = re.compile(r"@(?:stable|RC|beta|alpha|dev)", re.IGNORECASE)


def version(text: str) -> Version | None:
    """A version's numbers, None where it has none."""
    found = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.(\d+))?", text.strip())
    return _four([int(each) for each in found.groups() if each]) if found else None


def allows(constraint: str, given: Version) -> bool | None:
    """Whether a constraint lets a version in; None where it is not of the forms known here."""
    ranges = [_all(part) for part in _OR.split(_FLAG.sub("", constraint).strip())]
    if any(each is None for each in ranges):
        return None
    return any(all(test(given) for test in each or ()) for each in ranges)


Test = Callable[[Version], bool]


def _all(text: str) -> list[Test] | None:
    """The tests that one alternative makes, all of which have to hold."""
    if text in ("*", "x", "X", ""):
        return []
    if found := _HYPHEN.fullmatch(text):
        return _hyphen(found)
    tests: list[Test] = []
    for part in filter(None, re.split(r"(?<![<>=!~^])[, ]+(?=[\^~<>=!v\d*])", text)):
        single = _SINGLE.fullmatch(part.strip())
        if part.strip() in ("*", "x"):
            continue
        if single is None:
            return None
        tests += _single(single)
    return tests


def _single(found: re.Match[str]) -> list[Test]:
    sign, *parts = found.groups()
    numbers, wild = _numbers(parts)
    low = _four(numbers)
    if sign == "^":
        place = next((place for place, number in enumerate(numbers[:-1]) if number), len(numbers) - 1)
        return _between(low, _next(numbers, place if any(numbers) else min(place, 2)))
    if sign == "~":
        return _between(low, _next(numbers, max(0, len(numbers) - 2)))
    if wild and sign in (None, "=", "=="):
        return _between(low, _next(numbers, len(numbers) - 1))
    return [_compared(sign or "=", low)]


def _compared(sign: str, other: Version) -> Test:
    return {
        ">=": lambda given: given >= other,
        "<=": lambda given: given <= other,
        ">": lambda given: given > other,
        "<": lambda given: given < other,
        "!=": lambda given: given != other,
        "<>": lambda given: given != other,
    }.get(sign, lambda given: given == other)


def _hyphen(found: re.Match[str]) -> list[Test]:
    low, numbers = version(found[1]) or (0, 0, 0, 0), _numbers(found.groups()[6:10])[0]
    if len(numbers) < 3:  # a partial end takes in all of it
        return _between(low, _next(numbers, len(numbers) - 1))
    return [_compared(">=", low), _compared("<=", _four(numbers))]


def _between(low: Version, high: Version) -> list[Test]:
    return [lambda given: low <= given < high]


def _numbers(parts: Iterable[str | None]) -> tuple[list[int], bool]:
    """The numbers before the first wild card, and whether there is one."""
    given = [each for each in parts if each]
    wild = next((place for place, each in enumerate(given) if each in "xX*"), None)
    return [int(each) for each in given[:wild]], wild is not None


def _next(numbers: list[int], place: int) -> Version:
    """The first version whose number at a place is one higher."""
    return _four([*numbers[:place], numbers[place] + 1])


def _four(numbers: list[int]) -> Version:
    one, two, three, four = [*numbers, 0, 0, 0, 0][:4]
    return one, two, three, four

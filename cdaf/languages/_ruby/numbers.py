"""Gem versions and requirements, compared as RubyGems does (Gem::Version#<=>, Gem::Requirement)."""

import re
from collections.abc import Sequence
from itertools import zip_longest

_PART = re.compile(r"[0-9]+|[a-z]+", re.IGNORECASE)
_REQUIREMENT = re.compile(r"\s*(=|!=|>=|<=|~>|>|<)?\s*([0-9]+(?:\.[0-9A-Za-z]+)*(?:-[0-9A-Za-z.-]+)?)\s*")

Key = tuple[int | str, ...]


def normal(requirement: str) -> str | None:
    """A requirement in the form that locks have, "= 1.0" for "1.0"; None for what is none."""
    found = _REQUIREMENT.fullmatch(requirement)
    return f"{found[1] or '='} {found[2]}" if found else None


def satisfies(version: str, requirements: Sequence[str]) -> bool:
    """Whether a version meets every requirement; one that cannot be read is met."""
    return all(_meets(version, *each.split(" ", 1)) for each in map(normal, requirements) if each)


def compare(one: str, other: str) -> int:
    """-1, 0 or 1. Letters come before numbers: a prerelease is older than its release."""
    for left, right in zip_longest(_parts(one), _parts(other), fillvalue=0):
        if left == right:
            continue
        if isinstance(left, int) and isinstance(right, int):
            return -1 if left < right else 1
        if isinstance(left, str) and isinstance(right, str):
            return -1 if left < right else 1
        return -1 if isinstance(left, str) else 1
    return 0


def _parts(version: str) -> Key:
    """The segments without zeros at the end of numbers, so that 1 and 1.0 are one."""
    parts = [int(each) if each.isdecimal() else each for each in _PART.findall(version.replace("-", ".pre."))]
    first = next((at for at, each in enumerate(parts) if isinstance(each, str)), len(parts))
    numbers, rest = parts[:first], parts[first:]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    while rest and rest[-1] == 0:
        rest.pop()
    return (*numbers, *rest)


def _meets(version: str, operator: str, wanted: str) -> bool:
    order = compare(version, wanted)
    if operator == "~>":
        return order >= 0 and compare(_release(version), _bump(wanted)) < 0
    return {"=": order == 0, "!=": order != 0, ">": order > 0, "<": order < 0, ">=": order >= 0, "<=": order <= 0}[
        operator
    ]


def _release(version: str) -> str:
    return ".".join(each for each in re.split(r"[.-]", re.split(r"[.-]?[A-Za-z]", version)[0]) if each) or "0"


def _bump(version: str) -> str:
    """The first release that `~>` leaves out: 2.2 becomes 3, 2.2.1 becomes 2.3."""
    parts = _release(version).split(".")
    kept = parts[:-1] if len(parts) > 1 else parts
    return ".".join([*kept[:-1], str(int(kept[-1]) + 1)])

"""Comparing conditions by what they mean: two are the same when they agree in every environment worth trying."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.markers import Marker

World = Mapping[str, str]

_NEUTRAL = {
    "extra": "",
    "implementation_name": "cpython",
    "implementation_version": "3.11.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
_WORDS = re.compile(r"'([^']*)'|\"([^\"]*)\"|([a-z_]+)")
_MOST = 20_000


@lru_cache(maxsize=4096)
def parse(marker: str) -> Marker:
    """A marker (PEP 508). Raises packaging's InvalidMarker."""
    from packaging.markers import Marker

    return Marker(marker)


def holds(marker: str, world: World) -> bool:
    """Whether a marker is true there; an empty one always is."""
    return not marker or parse(marker).evaluate(dict(world))


def worth_trying(markers: Iterable[str], python: str = "") -> Iterator[dict[str, str]]:
    """Environments that tell these markers apart, of Pythons within the specifiers `python`.

    Every variable that occurs takes every literal that occurs, and one that does not; versions also take their
    neighbours.
    """
    variables, literals = _vocabulary(markers)
    versions = [each for each in _versions(literals) if _within(each, python)] or ["3.11.0"]
    choices: dict[str, list[str]] = {}
    if {"python_version", "python_full_version", "implementation_version"} & variables:
        choices["python_full_version"] = versions
    for name in sorted(variables - {"python_version", "python_full_version", "implementation_version"}):
        choices[name] = ["" if name == "extra" else "another", *sorted(literals)]
    for values in itertools.islice(itertools.product(*choices.values()), _MOST):
        world = _NEUTRAL | {"python_full_version": versions[0]} | dict(zip(choices, values, strict=True))
        full = world["python_full_version"]
        yield world | {"python_version": ".".join(full.split(".")[:2]), "implementation_version": full}


def _vocabulary(markers: Iterable[str]) -> tuple[set[str], set[str]]:
    variables: set[str] = set()
    literals: set[str] = set()
    for marker in markers:
        for single, double, word in _WORDS.findall(marker):
            literals |= {single or double, *(single or double).split()} - {""}
            variables |= {word} & set(_NEUTRAL)
    return variables, literals


def _versions(literals: Iterable[str]) -> list[str]:
    found = set()
    for literal in literals:
        numbers = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.\*)?", literal)
        if numbers:
            major, minor, patch = (int(number or 0) for number in numbers.groups())
            around = [(major, minor, each) for each in (patch - 1, patch, patch + 1)]
            found |= {*around, (major, minor - 1, 99), (major, minor + 1, 0)}
    return [".".join(map(str, each)) for each in sorted(found) if min(each) >= 0]


def _within(version: str, python: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return not python or SpecifierSet(python).contains(version)

"""Who needs whom, as uv.lock has it: the edges of the dependency graph, for the environments that are filled."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cdaf.languages._python import environment
from cdaf.languages._python.values import Target

_Edges = Mapping[str, list[dict[str, Any]]]


def find(lock: bytes, goals: Sequence[Target], extras: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By name: the names that a package needs on any of the targets; `extras` are those of the service itself.

    An extra counts when anything in the lock asks for it. What is locked in several versions is told as one.
    """
    packages = tomllib.loads(lock.decode())["package"]
    wanted = {(each["name"], extra) for each in packages if _is_local(each) for extra in extras}
    while True:
        found = {each["name"]: _needed(each, wanted, goals) for each in packages}
        more = {(edge["name"], extra) for edges in found.values() for edge in edges for extra in edge.get("extra", ())}
        if more <= wanted:
            return _named(packages, wanted, goals)
        wanted |= more


def _named(
    packages: Sequence[dict[str, Any]], wanted: set[tuple[str, str]], goals: Sequence[Target]
) -> dict[str, tuple[str, ...]]:
    names: dict[str, set[str]] = {}
    for each in packages:
        needed = {edge["name"] for edge in _needed(each, wanted, goals)}
        names.setdefault(each["name"], set()).update(needed - {each["name"]})
    return {name: tuple(sorted(needs)) for name, needs in names.items()}


def _is_local(package: Mapping[str, Any]) -> bool:
    return bool({"editable", "directory", "virtual"} & set(package.get("source", {})))


def _needed(package: Mapping[str, Any], wanted: set[tuple[str, str]], goals: Sequence[Target]) -> list[dict[str, Any]]:
    optional: _Edges = package.get("optional-dependencies", {})
    edges = [
        *package.get("dependencies", ()),
        *(edge for extra, those in optional.items() if (package["name"], extra) in wanted for edge in those),
    ]
    return [edge for edge in edges if any(_holds(edge.get("marker", ""), goals))]


def _holds(marker: str, goals: Sequence[Target]) -> Iterator[bool]:
    """Whether a marker holds, for each target; one of a form that is not known here is taken to hold."""
    from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName

    if not marker:
        yield True
        return
    for goal in goals:
        try:
            known: dict[str, Any] = {**environment.markers(goal.base.facts, goal.platform), "extra": ""}
            yield Marker(marker).evaluate(known)
        except (InvalidMarker, UndefinedEnvironmentName):
            yield True

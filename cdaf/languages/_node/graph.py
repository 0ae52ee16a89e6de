"""The lock as a graph: who leads to whom by the rules of Node's module resolution, and what stands where (Arborist)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from cdaf.languages._node import lockfile, ranges
from cdaf.languages._node.lockfile import Entry, Manifest
from cdaf.languages._node.values import MODULES, Target


class Edge(msgspec.Struct, frozen=True):
    """A need: `to` is the key of the entry that serves it, None where the lock has none."""

    source: str
    name: str
    to: str | None
    dev: bool = False
    optional: bool = False
    peer: bool = False


class Graph(msgspec.Struct, frozen=True):
    """Entries by key, with the edges out of and into each; links lead to their targets by an edge of their own."""

    packages: Mapping[str, Entry]
    out: dict[str, list[Edge]]
    into: dict[str, list[Edge]]


def make(packages: Mapping[str, Entry]) -> Graph:
    """The graph of a lock's entries."""
    tops = {"", *(_target(entry) for entry in packages.values() if entry.link)}
    out = {key: list(_edges(packages, key, entry, key in tops)) for key, entry in packages.items()}
    into: dict[str, list[Edge]] = {}
    for edges in out.values():
        for edge in edges:
            if edge.to is not None:
                into.setdefault(edge.to, []).append(edge)
    return Graph(packages, out, into)


def _target(entry: Entry) -> str:
    return entry.resolved if isinstance(entry.resolved, str) else ""


def _edges(packages: Mapping[str, Entry], key: str, entry: Entry, is_top: bool) -> Iterator[Edge]:
    if entry.link:
        target = _target(entry)
        yield Edge(key, target, target if target in packages else None)
        return
    for name, (dev, optional, peer) in needs(entry, dev=is_top).items():
        yield Edge(key, name, found(packages, key, name), dev, optional, peer)
    if not key:  # the project leads to its workspaces, whether it names them as dependencies or not
        named = set(needs(entry, dev=True))
        for path, each in packages.items():
            if each.link and path.count(MODULES) == 1 and path.startswith(f"{MODULES}/"):
                name = path.removeprefix(f"{MODULES}/")
                if name not in named:
                    yield Edge(key, name, path)


def needs(entry: Manifest, *, dev: bool) -> dict[str, tuple[bool, bool, bool]]:
    """By name, whether a need is of development, optional, a peer's; optional goes before, dev comes last."""
    told: dict[str, tuple[bool, bool, bool]] = {}
    if dev:
        told |= dict.fromkeys(entry.dev_dependencies, (True, False, False))
    for name in entry.peer_dependencies:
        lax = bool(entry.peer_dependencies_meta.get(name, {}).get("optional"))
        told.setdefault(name, (False, lax, True))
    told |= {name: (False, False, False) for name in entry.dependencies if name not in entry.peer_dependencies}
    return told | dict.fromkeys(entry.optional_dependencies, (False, True, False))


def found(packages: Collection[str], key: str, name: str) -> str | None:
    """The entry that `require(name)` finds from a place of the tree (Node's docs, modules)."""
    folder = key
    while True:
        if not folder.endswith(MODULES):
            path = f"{folder}/{MODULES}/{name}".lstrip("/")
            if path in packages:
                return path
        if not folder:
            return None
        folder = folder.rpartition("/")[0]


def reached(graph: Graph, starts: Iterable[str], follow: Callable[[Edge], bool]) -> set[str]:
    """Everything that edges lead to from these keys, themselves among it."""
    waiting = [key for key in starts if key in graph.packages]
    known = set(waiting)
    while waiting:
        for edge in graph.out[waiting.pop()]:
            if edge.to is not None and edge.to not in known and follow(edge):
                known.add(edge.to)
                waiting.append(edge.to)
    return known


def fits(entry: Entry, target: Target) -> bool:
    """Whether a package says that it is for this platform and this Node (npm-install-checks)."""
    return not misfit(entry, target)


def misfit(entry: Entry, target: Target) -> str:
    """What an entry asks for and the target is not; empty when it fits."""
    for what, told, own in (
        ("os", entry.os, "linux"),
        ("cpu", entry.cpu, target.cpu),
        ("libc", entry.libc, target.libc),
    ):
        listed = [told] if isinstance(told, str) else told
        if listed and not _listed(own, listed):
            return f"is for {what} {', '.join(listed)}"
    wanted = lockfile.node_of(entry.engines)
    if entry.optional and target.node and not ranges.satisfies(target.node, wanted):
        return f"is for Node {wanted}"
    return ""


def _listed(value: str, listed: Sequence[str]) -> bool:
    if list(listed) == ["any"]:
        return True
    if not value or f"!{value}" in listed:
        return False
    return value in listed or all(each.startswith("!") for each in listed)


def without_failed(graph: Graph, chosen: set[str], target: Target) -> set[str]:
    """What is left where optional packages that do not fit are given up, each with all that only it has need of.

    The rule is Arborist's: up to the first optional need above it, and down to what somebody else needs too.
    """
    gone: set[str] = set()
    for key in sorted(chosen):
        entry = graph.packages[key]
        if key not in gone and entry.optional and not entry.link and not fits(entry, target):
            gone |= _given_up(graph, key, gone)
    return chosen - gone


def _given_up(graph: Graph, key: str, gone: Collection[str]) -> set[str]:
    above, waiting = {key}, [key]
    while waiting:
        for edge in graph.into.get(waiting.pop(), ()):
            if not edge.optional and edge.source not in above:
                above.add(edge.source)
                waiting.append(edge.source)
    below = reached(graph, above, lambda edge: edge.to not in above)
    kept = {*below, *gone}
    while True:
        needed = {each for each in below - above if any(edge.source not in kept for edge in graph.into.get(each, ()))}
        if not needed:
            return below
        below -= needed
        kept -= needed

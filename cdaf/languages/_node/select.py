"""Which entries of a lock are laid out for which platform, and how the bytes of each are had."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._node import graph as graphs
from cdaf.languages._node import lockfile, ranges
from cdaf.languages._node.graph import Graph
from cdaf.languages._node.lockfile import Entry, Lockfile
from cdaf.languages._node.values import MODULES, Alias, Choice, Target

_GIT = re.compile(r"(?:git\+(?:ssh|https?|file)|git|ssh)://|git@|github:|gitlab:|bitbucket:")
_SHOWN = 8  # packages that a note names
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

Sets = dict[str, set[str]]  # keys of the lock by platform


def image(graph: Graph, service: str, target: Target) -> set[str]:
    """What `npm ci --omit=dev` installs, and for a service below the lock only what that one needs."""
    packages = graph.packages
    if service:
        chosen = graphs.reached(graph, [service], lambda edge: not edge.dev) - {service}
    else:
        chosen = {key for key, entry in packages.items() if key and not entry.dev and not entry.extraneous}
    return graphs.without_failed(graph, chosen, target)


def everything(graph: Graph, service: str, target: Target) -> set[str]:
    """The same with development dependencies, of a service below the lock also those of the lock's own project."""
    packages = graph.packages
    if service:
        shared = [edge.to for edge in graph.out[""] if edge.dev and edge.to is not None]
        chosen = graphs.reached(graph, [service, *shared], lambda edge: not edge.dev or edge.source == service)
    else:
        chosen = {key for key, entry in packages.items() if key and not entry.extraneous}
    return graphs.without_failed(graph, chosen - {service}, target)


def demand(graph: Graph, chosen: Mapping[Target, set[str]]) -> None:
    """Raise ResolveError for every package that has nothing for a platform."""
    wrong = [f"{target.platform}: {fault}" for target, keys in chosen.items() for fault in _unfit(graph, keys, target)]
    if wrong:
        raise ResolveError(
            faults("packages without a build", wrong),
            "lock other versions, or anew without node_modules (npm leaves other platforms out else), "
            "or leave the platform out",
        )


def _unfit(graph: Graph, keys: set[str], target: Target) -> Iterator[str]:
    for key in sorted(keys):
        entry = graph.packages[key]
        if not entry.optional and not entry.link and (why := graphs.misfit(entry, target)):
            yield f"{named(key, entry)} {entry.version} {why}"
        listed = [edge for edge in graph.out[key] if edge.optional and not edge.peer and not edge.dev]
        platforms = [edge for edge in listed if _is_for_linux(graph, edge.name, edge.to)]
        if platforms and not any(edge.to in keys for edge in platforms):
            yield (
                f"{named(key, entry)} {entry.version} has none of {', '.join(edge.name for edge in platforms[:4])}"
                + (", …" if len(platforms) > 4 else "")
            )


def _is_for_linux(graph: Graph, name: str, to: str | None) -> bool:
    """Whether an optional need is a build for some Linux; one that the lock lacks is judged by its name."""
    if to is None:
        return bool(re.search(r"(?:^|[-/_.])linux(?:$|[-_.])", name))
    told = graph.packages[to]
    systems = [told.os] if isinstance(told.os, str) else told.os
    return "linux" in systems and bool(told.cpu)


def choices(
    root: Path, top: Path, lock: Lockfile, graph: Graph, main: Sets, smoke: Sets
) -> tuple[list[Choice], list[Alias]]:
    """The choices and links of all platforms.

    Raises ResolveError with every entry that has no hash, ProjectError for folders that no bundle can hold.
    """
    found: list[Choice] = []
    links: list[Alias] = []
    wrong: list[str] = []
    astray: list[str] = []
    for key in sorted({*set().union(*main.values()), *set().union(*smoke.values())}):
        entry = lock.packages[key]
        platforms = tuple(each for each in main if key in main[each])
        checked = tuple(each for each in smoke if key in smoke[each])
        if entry.link:
            links.append(Alias(key, str(entry.resolved), platforms, checked))
        elif not entry.in_bundle:
            label = f"{named(key, entry)} {entry.version}".rstrip()
            try:
                told = _had(root, top, key, entry, label)
            except ResolveError as error:
                wrong.append(error.message)
            except ProjectError as error:
                astray.append(error.message)
            else:
                needs = _requires(graph, key)
                found.append(_choice(key, entry, told, platforms, checked, needs))
    if astray:
        raise ProjectError(faults(lock.path.name, astray), "move them into the repository, and commit them")
    if wrong:
        raise ResolveError(faults(lock.path.name, wrong), "lock again with npm, from a registry that tells integrity")
    return found, links


def named(key: str, entry: Entry) -> str:
    """The package's own name, which an alias's place is not."""
    return entry.name or key.rpartition(f"{MODULES}/")[2] or "the project"


def _choice(
    key: str, entry: Entry, told: Choice, main: tuple[str, ...], smoke: tuple[str, ...], requires: tuple[str, ...]
) -> Choice:
    import msgspec

    native = bool(entry.cpu or entry.libc)
    return msgspec.structs.replace(
        told, path=key, main=main, smoke=smoke, requires=requires, native=native, optional=entry.optional
    )


def _had(root: Path, top: Path, key: str, entry: Entry, label: str) -> Choice:
    """How the bytes of an entry are had; `root` is the lock's folder, `top` the repository's."""
    name, resolved = named(key, entry), entry.resolved if isinstance(entry.resolved, str) else ""
    if f"/{MODULES}/" not in f"/{key}":
        return _folder(root, top, key, name, entry)
    if _GIT.match(resolved):
        return _git(name, entry, resolved, label)
    if resolved.startswith("file:"):
        place = posixpath.normpath(resolved.removeprefix("file:"))
        if (root / place).is_dir():
            return _folder(root, top, place, name, entry)
        if not _is_below(root / place, top):
            raise ProjectError(f"{label}: {place} is outside of the repository")
    if not entry.integrity:
        raise ResolveError(f"{label} has no integrity, and so no hash")
    kind = "file" if resolved.startswith("file:") else "url"
    return Choice(
        path=key,
        name=name,
        version=entry.version,
        kind=kind,
        url=posixpath.normpath(resolved.removeprefix("file:")) if kind == "file" else resolved,
        hashes=lockfile.hashes(label, entry.integrity),
        integrity=entry.integrity,
    )


def _folder(root: Path, top: Path, place: str, name: str, entry: Entry) -> Choice:
    if not _is_below(root / place, top):
        raise ProjectError(f"{place} is outside of the repository")
    if not (root / place).is_dir():
        raise ProjectError(f"{place} is no folder")
    return Choice(path=place, name=name, version=entry.version or "0.0.0", kind="folder", folder=place)


def _is_below(path: Path, top: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top))


def _git(name: str, entry: Entry, resolved: str, label: str) -> Choice:
    url, _, commit = resolved.partition("#")
    if not _COMMIT.fullmatch(commit):
        raise ResolveError(f"{label} is locked to {commit or 'no commit'!r}, which is not a whole commit")
    return Choice(path="", name=name, version=entry.version or "0.0.0", kind="git", url=url, commit=commit)


def _requires(graph: Graph, key: str) -> tuple[str, ...]:
    names = set()
    for edge in graph.out[key]:
        if edge.to is None or edge.dev:
            continue
        entry = graph.packages[edge.to]
        target = str(entry.resolved) if entry.link else edge.to
        if target in graph.packages and not graph.packages[target].in_bundle:
            names.add(named(target, graph.packages[target]))
    return tuple(sorted(names - {named(key, graph.packages[key])}))


def note(graph: Graph, chosen: Mapping[Target, set[str]]) -> str:
    """What npm only warns of, in one line: packages that ask for another Node than the base has; empty for none."""
    told: dict[str, None] = {}
    for target, keys in chosen.items():
        for key in sorted(keys) if target.node else ():
            entry = graph.packages[key]
            wanted = lockfile.node_of(entry.engines)
            if not ranges.satisfies(target.node, wanted):
                told[f"{named(key, entry)} {entry.version} ({wanted})"] = None
    if not told:
        return ""
    shown, more = [*told][:_SHOWN], len(told) - _SHOWN
    have = ", ".join(dict.fromkeys(target.node for target in chosen))
    return f"the base has Node {have}, and another is asked for by {', '.join(shown)}" + (
        f" and {more} more" if more > 0 else ""
    )

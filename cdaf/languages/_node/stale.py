"""Whether a lock is still the one of its manifests: what each of them asks for, against what the lock recorded.

`npm ci` resolves anew and compares; this compares what was asked, and so refuses a manifest that was edited even where
the versions locked would still do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cdaf.errors import ProjectError, faults
from cdaf.languages._node import graph as graphs
from cdaf.languages._node import lockfile
from cdaf.languages._node.lockfile import Entry, Lockfile, Manifest

_FIELDS = {
    "dependencies": "dependencies",
    "dev_dependencies": "devDependencies",
    "optional_dependencies": "optionalDependencies",
    "peer_dependencies": "peerDependencies",
}


def refuse(lock: Lockfile) -> None:
    """Raise ProjectError when the lock and a manifest are out of step."""
    found = wrong(lock)
    if found:
        raise ProjectError(
            faults(f"{lock.path.name} and package.json are out of step", found),
            "run `npm install`, and commit the lock",
        )


def wrong(lock: Lockfile) -> list[str]:
    """Every way in which the lock is not that of the manifests beside it."""
    root = lock.path.parent
    declared = lockfile.table(root / "package.json")
    found = list(_differing("", lockfile.manifest(root / "package.json"), lock.packages[""]))
    found += _workspaces(root, declared, lock)
    for key, entry in sorted(lock.packages.items()):
        if key and entry.link and isinstance(entry.resolved, str):
            target = lock.packages.get(entry.resolved)
            if target is None:
                found.append(f"{key} leads to {entry.resolved}, of which the lock says nothing")
            elif not (root / entry.resolved / "package.json").is_file() and "/../" not in f"/{entry.resolved}/..":
                found.append(f"{entry.resolved} has no package.json")
            else:
                told = lockfile.manifest(root / entry.resolved / "package.json")
                found += _differing(entry.resolved, told, target)
    return list(dict.fromkeys([*found, *_missing(lock)]))


def _differing(where: str, told: Manifest, locked: Entry) -> Iterator[str]:
    named = f"{where}/package.json" if where else "package.json"
    for field, key in _FIELDS.items():
        asked, known = getattr(told, field), getattr(locked, field)
        if field == "dependencies":  # npm moves what is in both to the optional ones
            asked = {name: spec for name, spec in asked.items() if name not in told.optional_dependencies}
            known = {name: spec for name, spec in known.items() if name not in locked.optional_dependencies}
        for name in sorted({*asked, *known}):
            if name not in known:
                yield f"{named} has {name} {asked[name]} in {key}, and the lock has not"
            elif name not in asked:
                yield f"the lock has {name} {known[name]} in {key}, and {named} has not"
            elif asked[name] != known[name]:
                yield f"{named} has {name} {asked[name]} in {key}, and the lock has {known[name]}"


def _workspaces(root: Path, declared: dict[str, Any], lock: Lockfile) -> Iterator[str]:
    """Members that the manifest's patterns find on disk and the lock does not know."""
    told = declared.get("workspaces", [])
    patterns = told.get("packages", []) if isinstance(told, dict) else told
    targets = {entry.resolved for entry in lock.packages.values() if entry.link}
    left_out: set[str] = set()
    members: dict[str, None] = {}
    for pattern in patterns if isinstance(patterns, list) else ():
        text = str(pattern).removeprefix("!").removeprefix("./").rstrip("/")
        if not text or text.startswith("/") or ".." in PurePosixPath(text).parts:
            continue
        names = [
            path.parent.relative_to(root).as_posix()
            for path in sorted(root.glob(f"{text}/package.json"))
            if "node_modules" not in path.parts
        ]
        if str(pattern).startswith("!"):
            left_out |= {*names}
        members |= dict.fromkeys(names)
    for member in members:
        if member not in targets and member not in left_out and member != ".":
            yield f"the workspace {member} is not in the lock"


def _missing(lock: Lockfile) -> Iterator[str]:
    """Needs that no entry of the lock serves, as a lock has them that was merged by hand."""
    graph = graphs.make(lock.packages)
    for key, edges in graph.out.items():
        for edge in edges:
            if edge.to is None and not edge.optional and not edge.peer and not lock.packages[key].extraneous:
                who = re.sub(r"^.*node_modules/", "", key) or "package.json"
                why = " (npm leaves what folders beside a project need to themselves: make it a workspace)"
                yield f"{edge.name}, which {who} needs, is not in the lock{why if who.startswith('../') else ''}"

"""Hashes for `cdaf.lock` of the archives that composer.lock names without one: those of forges."""

from __future__ import annotations

from collections.abc import Sequence

from cdaf import progress
from cdaf.languages._php import archive, auth, fetching, lockfile, resolve
from cdaf.projects.pins import Archive
from cdaf.projects.project import Project


def pin(project: Project, kept: Sequence[Archive]) -> tuple[Archive, ...]:
    """The content-tree hash of each, taken now unless it is known. Raises ProjectError, ResolveError."""
    found = lockfile.read(project.root)
    resolve.demand(project, found)
    packages, _ = lockfile.packages(found)
    bare = [each for each in packages if each.kind == "archive" and not each.shasum]
    known = {(each.name, each.version): each.hash for each in kept if each.hash.startswith(f"{archive.TREE}:")}
    new = [each for each in bare if (each.name, each.version) not in known]
    taken = fetching.take(new, auth.headers(project.root))
    if new:
        progress.note(f"composer.lock has no checksum of {len(new)} archives: hashed as they are now")
    hashes = {**known, **{(each.name, each.version): taken[each.name].hash for each in new}}
    pinned = (Archive(name=each.name, version=each.version, hash=hashes[each.name, each.version]) for each in bare)
    return tuple(sorted(pinned, key=lambda each: (each.name, each.version)))

"""Whether uv.lock still says what the local manifests ask for, judged without an interpreter.

`uv lock --check` needs one that the service's `requires-python` allows, which CI may lack, and `uv export --frozen`
exports a stale lock silently.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cdaf import errors
from cdaf.errors import ProjectError
from cdaf.languages._python import asks, lockfile, worlds
from cdaf.languages._python.asks import Ask, Sources, Table, normal
from cdaf.languages._python.lockfile import Lockfile

VERSION = 1
_LOCAL = ("editable", "directory", "virtual")
_LISTS = {
    "constraints": "constraint-dependencies",
    "overrides": "override-dependencies",
    "build-constraints": "build-constraint-dependencies",
}
_OPTIONS = {"resolution-mode": "resolution", "prerelease-mode": "prerelease", "fork-strategy": "fork-strategy"}
_DEFAULTS = {"resolution": "highest", "prerelease": "if-necessary-or-explicit", "fork-strategy": "requires-python"}


def refuse(root: Path, lock: Lockfile) -> None:
    """Raise ProjectError with every difference between the lock and the manifests."""
    found = faults(root, lock)
    if found:
        raise ProjectError(
            errors.faults(f"{lock.path.name} is not what pyproject.toml asks for", found),
            "run `uv lock` and commit uv.lock",
        )


def faults(root: Path, lock: Lockfile) -> list[str]:
    """Every difference. Raises ProjectError when the lock or a manifest cannot be read at all."""
    try:
        locked = tomllib.loads(lock.data.decode())
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{lock.path} cannot be read: {error}", "run `uv lock`") from error
    if locked.get("version") != VERSION:
        raise ProjectError(
            f"{lock.path} is of format {locked.get('version')!r}, and this cdaf reads format {VERSION}",
            "lock with the uv that came with cdaf, or upgrade cdaf",
        )
    try:
        return list(dict.fromkeys(_faults(root, lock, locked)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # tables of another form, versions of none
        raise ProjectError(
            f"{lock.path} and the manifests cannot be compared: {type(error).__name__}: {error}",
            "run `uv lock`, which tells what is wrong with them",
        ) from error


def _faults(root: Path, lock: Lockfile, locked: Table) -> Iterator[str]:
    top = lockfile.manifest(lock.folder / "pyproject.toml")
    members = _members(lock.folder, top)
    packages = dict(_local(lock.folder, locked))
    if root not in packages:
        yield f"{_relative(root, lock.folder)} is not in it"
    if "members" in locked.get("manifest", {}) or len(members) > 1:
        yield from _differing_members(members, locked.get("manifest", {}).get("members", ()))
    yield from _python(members, locked)
    shared = asks.sources(lock.folder, top, lock.folder, top, members)
    yield from _lists(top, shared, locked, lock.folder)
    yield from _environments(top, locked)
    for folder, package in packages.items():
        known = asks.sources(lock.folder, top if folder in members.values() else {}, folder, _own(folder), members)
        yield from _package(folder, package, known, lock.folder, str(locked.get("requires-python", "")))


def _own(folder: Path) -> Table:
    return lockfile.manifest(folder / "pyproject.toml")


def _relative(folder: Path, root: Path) -> str:
    return os.path.relpath(folder, root)


def _members(root: Path, top: Table) -> dict[str, Path]:
    """The workspace's members by name, the root among them when it is a project."""
    folders = [*([root] if "project" in top else []), *lockfile.members(root)]
    named = [
        (lockfile.manifest(folder / "pyproject.toml").get("project", {}).get("name"), folder) for folder in folders
    ]
    return {normal(str(name)): folder for name, folder in named if name}


def _local(root: Path, locked: Table) -> Iterator[tuple[Path, Table]]:
    for package in locked.get("package", ()):
        for kind in _LOCAL:
            if kind in package.get("source", {}):
                yield Path(os.path.normpath(root / package["source"][kind])), package


def _differing_members(members: Iterable[str], recorded: Iterable[str]) -> Iterator[str]:
    have, had = set(members), set(recorded)
    yield from (f"workspace member {name} is new" for name in sorted(have - had))
    yield from (f"workspace member {name} is gone" for name in sorted(had - have))


def _python(members: Mapping[str, Path], locked: Table) -> Iterator[str]:
    """requires-python: the lock's is what all members allow."""
    declared = [
        str(table["requires-python"])
        for folder in members.values()
        if "requires-python" in (table := _own(folder).get("project", {}))
    ]
    recorded = str(locked.get("requires-python", ""))
    if not declared or _same_versions(",".join(declared), recorded):
        return
    yield f"requires-python is {' and '.join(sorted(set(declared)))}, and the lock is for {recorded or 'any'}"


def _same_versions(one: str, other: str) -> bool:
    from packaging.specifiers import SpecifierSet

    first, second = SpecifierSet(one), SpecifierSet(other)
    excluded = {each.version for each in (*first, *second) if each.operator == "!="}
    texts = [f"'{each.version}'" for each in (*first, *second)]
    tried = {world["python_full_version"] for world in worlds.worth_trying([*texts, "python_full_version"])}
    return all(first.contains(each) == second.contains(each) for each in tried - excluded)


def _lists(top: Table, known: Sources, locked: Table, root: Path) -> Iterator[str]:
    """Overrides and constraints, the workspace's alone."""
    for key, setting in _LISTS.items():
        declared = asks.uv(top).get(setting, ())
        texts = [each for each in declared if isinstance(each, str)]
        wanted = [ask for text in texts for ask in asks.asked(text, known)]
        recorded = [asks.recorded(each, root) for each in locked.get("manifest", {}).get(key, ()) if "name" in each]
        if len(texts) == len(declared):
            yield from _differences(f"tool.uv.{setting}", wanted, recorded, "")
    excluded = {normal(str(each)) for each in asks.uv(top).get("exclude-dependencies", ())}
    if excluded != set(locked.get("manifest", {}).get("excludes", ())):
        yield "tool.uv.exclude-dependencies has changed"
    for key, setting in _OPTIONS.items():
        value = asks.uv(top).get(setting)
        if value is not None and value != locked.get("options", {}).get(
            key, value if _is_default(setting, value) else None
        ):
            yield f"tool.uv.{setting} is {value}"


def _is_default(setting: str, value: Any) -> bool:
    return bool(value == _DEFAULTS[setting])


def _environments(top: Table, locked: Table) -> Iterator[str]:
    for setting, key in (("environments", "supported-markers"), ("required-environments", "required-markers")):
        declared = asks.uv(top).get(setting, ())
        wanted = [str(each) for each in ([declared] if isinstance(declared, str) else declared)]
        recorded = [str(each) for each in locked.get(key, ())]
        tried = worlds.worth_trying([*wanted, *recorded], str(locked.get("requires-python", "")))
        if any(_any(wanted, world) != _any(recorded, world) for world in tried):
            yield f"tool.uv.{setting} is {wanted or 'not set'}, and the lock has {recorded or 'none'}"


def _any(markers: Sequence[str], world: worlds.World) -> bool:
    return any(worlds.holds(marker, world) for marker in markers)


def _package(folder: Path, package: Table, known: Sources, root: Path, python: str) -> Iterator[str]:
    """One local package against its manifest; dynamic fields are for its build to say."""
    name, place = str(package["name"]), _relative(folder, root)
    label = "" if place == "." else f"{place}: "
    manifest = _own(folder)
    project = manifest.get("project")
    if not folder.is_dir():
        yield f"{place}, where {name} should be, is no folder"
        return
    if project is None:
        return
    if normal(str(project.get("name", ""))) != name:
        yield f"{label}the project is named {project.get('name')}, and the lock has it as {name}"
    metadata, dynamic = package.get("metadata", {}), set(project.get("dynamic", ()))
    try:
        if not dynamic & {"dependencies", "optional-dependencies"}:
            wanted = asks.requirements(manifest, known)
            recorded = [asks.recorded(each, root) for each in metadata.get("requires-dist", ())]
            yield from _differences(f"{label}dependencies", wanted, recorded, python)
            yield from _extras(label, project, metadata)
        if "requires-dev" in metadata or folder in known.members.values():
            yield from _groups(label, manifest, metadata, known, root, python)
    except ValueError as error:  # packaging's InvalidRequirement, InvalidSpecifier and InvalidMarker are such
        yield f"{label}pyproject.toml: {error}"


def _extras(label: str, project: Table, metadata: Table) -> Iterator[str]:
    have = {normal(name) for name in project.get("optional-dependencies", {})}
    had = {normal(name) for name in metadata.get("provides-extras", have)}
    yield from (f"{label}extra {name} is new" for name in sorted(have - had))
    yield from (f"{label}extra {name} is gone" for name in sorted(had - have))


def _groups(label: str, manifest: Table, metadata: Table, known: Sources, root: Path, python: str) -> Iterator[str]:
    had = metadata.get("requires-dev", {})
    have = asks.groups(manifest, known)
    for name in sorted({*had, *(each for each, wanted in have.items() if wanted)}):
        recorded = [asks.recorded(each, root) for each in had.get(name, ())]
        yield from _differences(f"{label}dependency group {name}", have.get(name, []), recorded, python)


def _differences(subject: str, wanted: Sequence[Ask], recorded: Sequence[Ask], python: str) -> Iterator[str]:
    for name in sorted({ask.name for ask in (*wanted, *recorded)}):
        mine = [ask for ask in wanted if ask.name == name]
        theirs = [ask for ask in recorded if ask.name == name]
        markers = [marker for ask in (*mine, *theirs) for marker, _ in ask.conditions]
        tried = worlds.worth_trying(markers, python)
        if any(_active(mine, world) != _active(theirs, world) for world in tried):
            yield f"{subject}: {_told(name, mine, theirs)}"


def _active(found: Sequence[Ask], world: worlds.World) -> set[str]:
    return {ask.what for ask in found if all(worlds.holds(marker, world) == value for marker, value in ask.conditions)}


def _told(name: str, mine: Sequence[Ask], theirs: Sequence[Ask]) -> str:
    if not theirs:
        return f"{name} is new"
    if not mine:
        return f"{name} is gone"
    return f"{name} is {_spelt(mine)}, and the lock has {_spelt(theirs)}"


def _spelt(found: Sequence[Ask]) -> str:
    return " and ".join(dict.fromkeys(_one(ask) for ask in found))


def _one(ask: Ask) -> str:
    markers = [marker if value else f"not ({marker})" for marker, value in ask.conditions if marker]
    return (ask.what.strip() or "any version") + (f" if {' and '.join(markers)}" if markers else "")

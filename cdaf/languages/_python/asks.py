"""What local manifests ask for, in the terms in which uv.lock records it: sources applied, groups spelt out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec

from cdaf.languages._python.lockfile import redacted

Table = Mapping[str, Any]


class Ask(msgspec.Struct, frozen=True):
    """A requirement: its project, what is asked of it, and the markers that must each be true, or false."""

    name: str
    what: str
    conditions: tuple[tuple[str, bool], ...] = ()


class Sources(msgspec.Struct, frozen=True):
    """Where a manifest's requirements come from (tool.uv.sources): tables by project, each with its folder."""

    tables: dict[str, tuple[Path, Sequence[Table]]]
    members: dict[str, Path]
    indexes: dict[str, str]


def normal(name: str) -> str:
    """A project's name in its normal form (PEP 503)."""
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def sources(root: Path, top: Table, folder: Path, table: Table, members: Mapping[str, Path]) -> Sources:
    """The sources that hold for the manifest in `folder`: its own before the workspace's."""
    found: dict[str, tuple[Path, Sequence[Table]]] = {}
    indexes: dict[str, str] = {}
    for place, manifest in ((root, top), (folder, table)):
        settings = uv(manifest)
        for name, source in settings.get("sources", {}).items():
            found[normal(name)] = (place, source if isinstance(source, list) else [source])
        indexes |= {str(each.get("name")): _url(each.get("url", "")) for each in settings.get("index", ())}
    return Sources(found, dict(members), indexes)


def uv(manifest: Table) -> Table:
    """`[tool.uv]`."""
    table: Table = manifest.get("tool", {}).get("uv", {})
    return table


def requirements(manifest: Table, known: Sources) -> list[Ask]:
    """`[project] dependencies` and optional-dependencies."""
    project = manifest.get("project", {})
    found = [ask for text in project.get("dependencies", ()) for ask in asked(text, known)]
    for extra, texts in project.get("optional-dependencies", {}).items():
        condition = (f"extra == '{normal(extra)}'", True)
        found += [ask for text in texts for ask in asked(text, known, extra=normal(extra), conditions=(condition,))]
    return found


def groups(manifest: Table, known: Sources) -> dict[str, list[Ask]]:
    """`[dependency-groups]` (PEP 735), included ones spelt out, with uv's older dev-dependencies."""
    declared = {normal(name): entries for name, entries in manifest.get("dependency-groups", {}).items()}
    settings = {normal(name): table for name, table in uv(manifest).get("dependency-groups", {}).items()}
    found = {name: list(_group(name, name, declared, settings, known, ())) for name in declared}
    older = uv(manifest).get("dev-dependencies")
    if older is not None:
        found.setdefault("dev", []).extend(ask for text in older for ask in asked(text, known, group="dev"))
    return found


def _group(
    name: str, origin: str, declared: Table, settings: Table, known: Sources, above: tuple[str, ...]
) -> Iterator[Ask]:
    python = settings.get(name, {}).get("requires-python", "")
    conditions = tuple((marker, True) for marker in _python_markers(python))
    for entry in declared.get(name, ()):
        if isinstance(entry, str):
            found: Iterable[Ask] = asked(entry, known, group=name)
        else:
            included = normal(str(entry.get("include-group", "")))
            if included in (*above, name) or included not in declared:
                raise ValueError(f"dependency group {origin} includes {included or entry}, which it cannot")
            found = _group(included, origin, declared, settings, known, (*above, name))
        yield from (msgspec.structs.replace(ask, conditions=(*ask.conditions, *conditions)) for ask in found)


def _python_markers(specifiers: str) -> list[str]:
    from packaging.specifiers import SpecifierSet

    return [f"python_full_version {each.operator} '{each.version}'" for each in SpecifierSet(specifiers)]


def asked(
    text: str, known: Sources, *, extra: str = "", group: str = "", conditions: tuple[tuple[str, bool], ...] = ()
) -> list[Ask]:
    """One requirement as uv lowers it: one for each source that may apply, and one for where none does."""
    from packaging.requirements import Requirement

    wanted = Requirement(text)
    name = normal(wanted.name)
    start = (*conditions, *([(str(wanted.marker), True)] if wanted.marker else []))
    extras = _extras(wanted.extras)
    if wanted.url:
        return [Ask(name, extras + _direct(wanted.url), start)]
    plain = extras + specifier(str(wanted.specifier))
    folder, tables = known.tables.get(name, (Path(), ()))
    tables = [each for each in tables if _applies(each, extra, group)]
    found, others = [], []
    for table in tables:
        marker = str(table.get("marker", ""))
        found.append(Ask(name, _sourced(name, plain, extras, table, folder, known), (*start, *_when(marker))))
        others.append((marker, False))
    if not any(not marker for marker, _ in others):
        found.append(Ask(name, plain, (*start, *others)))
    return found


def _when(marker: str) -> tuple[tuple[str, bool], ...]:
    return ((marker, True),) if marker else ()


def _applies(table: Table, extra: str, group: str) -> bool:
    for key, name in (("extra", extra), ("group", group)):
        if key in table and normal(str(table[key])) != name:
            return False
    return True


def _sourced(name: str, plain: str, extras: str, table: Table, folder: Path, known: Sources) -> str:
    if table.get("workspace"):
        return extras + local(known.members.get(name, folder / name))
    if "path" in table:
        return extras + local(folder / str(table["path"]))
    if "git" in table:
        reference = {key: str(table[key]) for key in ("rev", "tag", "branch", "subdirectory") if key in table}
        return extras + git(str(table["git"]), reference)
    if "url" in table:
        return extras + f" from {_url(str(table['url']))}"
    if "index" in table:
        index = str(table["index"])
        return plain + f" from index {known.indexes.get(index, index)}"
    return plain


def recorded(table: Table, root: Path) -> Ask:
    """A requirement as the lock records it, a table of `requires-dist` or `requires-dev`."""
    extras = _extras(table.get("extras", ()))
    plain = extras + specifier(str(table.get("specifier", "")))
    marker = str(table.get("marker", ""))
    return Ask(normal(str(table["name"])), _origin(table, extras, plain, root), _when(marker))


def _origin(table: Table, extras: str, plain: str, root: Path) -> str:
    for key in ("editable", "directory", "virtual", "path"):
        if key in table:
            return extras + local(root / str(table[key]))
    if "git" in table:
        url, _, query = str(table["git"]).partition("?")
        return extras + git(url, dict(parse_qsl(query.partition("#")[0])))
    if "url" in table:
        return extras + f" from {_url(str(table['url']))}"
    return plain + (f" from index {_url(str(table['index']))}" if "index" in table else "")


def _direct(url: str) -> str:
    """A direct reference (PEP 508, PEP 440)."""
    parts = urlsplit(url)
    if parts.scheme.startswith("git+"):
        path, _, revision = parts.path.partition("@")
        reference = {"rev": revision} if revision else {}
        subdirectory = dict(parse_qsl(parts.fragment)).get("subdirectory")
        reference |= {"subdirectory": subdirectory} if subdirectory else {}
        return git(f"{parts.scheme.removeprefix('git+')}://{parts.netloc}{path}", reference)
    if parts.scheme == "file":
        return local(Path(unquote(parts.path)))
    return f" from {_url(url)}"


def local(path: Path) -> str:
    """A folder or archive of this machine; whether editable or not is no matter here."""
    return f" from {os.path.normpath(path)}"


def git(url: str, reference: Mapping[str, str]) -> str:
    """A git repository, and what of it is asked for."""
    known = {key: value for key, value in sorted(reference.items()) if key in ("rev", "tag", "branch", "subdirectory")}
    return f" from git {_url(url)}" + (f"?{urlencode(known)}" if known else "")


def _url(url: str) -> str:
    return redacted(url.encode()).decode()


def _extras(extras: Iterable[str]) -> str:
    names = ",".join(sorted(normal(extra) for extra in extras))
    return f"[{names}]" if names else ""


def specifier(text: str) -> str:
    """Version specifiers in one order and spelling."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    found = []
    for each in SpecifierSet(text):
        try:
            version = str(Version(each.version)) if each.operator != "===" else each.version
        except InvalidVersion:
            version = each.version
        found.append(f"{each.operator}{version}")
    return " " + ",".join(sorted(found)) if found else ""

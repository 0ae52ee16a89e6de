"""Reading composer.lock: what it names, and every way in which it is not what it should be."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf.errors import ProjectError, faults
from cdaf.languages import php
from cdaf.languages._php import contenthash, schema
from cdaf.languages._php.values import LOCK, MANIFEST, Package

# What Composer takes for a package's name (its ValidatingArrayLoader), and what platform packages are called.
_NAME = re.compile(r"[a-z0-9](?:[_.-]?[a-z0-9]+)*/[a-z0-9](?:(?:[_.]|-{1,2})?[a-z0-9]+)*", re.IGNORECASE)
PLATFORM = re.compile(
    r"(?:php(?:-64bit|-ipv6|-zts|-debug)?|hhvm|(?:ext|lib)-[a-z0-9](?:[_.-]?[a-z0-9]+)*"
    r"|composer(?:-(?:plugin|runtime)-api)?)",
    re.IGNORECASE,
)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/#@^~ -]*")
# Of addresses, whose slashes PHP may have written with a backslash; either may be a secret.
_LOGIN = re.compile(rb"(?<=:\\/\\/)[^/@\s\"'\\]+@|(?<=://)[^/@\s\"']+@")
_QUERY = re.compile(rb"(\"https?:(?:\\/\\/|//)[^\"?\s]*)\?[^\"#\s]*")
_SHA1 = re.compile("[0-9a-f]{40}")
_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")
_WRITE = "run `composer update --lock` with Composer 2"


class Lockfile(msgspec.Struct, frozen=True):
    """A composer.lock and its composer.json, parsed; `data` are the lock's bytes."""

    path: Path
    data: bytes
    lock: dict[str, Any]
    manifest: dict[str, Any]
    manifest_data: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of both files."""
        return hashlib.sha256(b"%d:%b%b" % (len(self.data), self.data, self.manifest_data)).hexdigest()

    @property
    def config(self) -> dict[str, Any]:
        """The table `config` of composer.json."""
        found = self.manifest.get("config")
        return found if isinstance(found, dict) else {}


def read(root: Path) -> Lockfile:
    """The lock and the manifest in a folder. Raises ProjectError where one is missing or no JSON object."""
    data, told = _file(root / LOCK, "run `composer update`, and commit the file"), _file(root / MANIFEST, "commit it")
    parsed = contenthash.parse(data, LOCK), contenthash.parse(told, MANIFEST)
    for name, each in zip((LOCK, MANIFEST), parsed, strict=True):
        if not isinstance(each, dict):
            raise ProjectError(f"{name} is not an object", "take it from git")
    return Lockfile(root / LOCK, data, *parsed, told)


def redacted(data: bytes) -> bytes:
    """A lock without the logins and the queries of its addresses."""
    return _LOGIN.sub(b"", _QUERY.sub(rb"\1", data))


def _file(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ProjectError(f"{path.name} is missing in {path.parent}", hint) from None
    except OSError as error:
        raise ProjectError(f"{path.name} cannot be read: {error.strerror}", "check its owner and mode") from error


def manifest(root: Path) -> dict[str, Any]:
    """composer.json in a folder, empty where there is none or no JSON object."""
    try:
        found = contenthash.parse((root / MANIFEST).read_bytes(), MANIFEST)
    except (OSError, ProjectError):
        return {}
    return found if isinstance(found, dict) else {}


def identify(root: Path) -> tuple[str | None, str | None]:
    """Name and version of composer.json; no vendor, for an image's name has a place of its own for it."""
    told = manifest(root)
    name, version = told.get("name"), told.get("version")
    return str(name).rpartition("/")[2] if name else None, str(version).removeprefix("v") if version else None


def license_of(root: Path) -> str:
    """The licence that composer.json says, as an SPDX expression; empty where it says none."""
    told = manifest(root).get("license")
    return _license(_listed(told)) if told else ""


def shape(found: Lockfile) -> None:
    """Raise ProjectError for a lock of another form than Composer 2 writes, or one that is out of step."""
    lock = found.lock
    api = lock.get("plugin-api-version")
    if not isinstance(api, str) or not re.fullmatch(r"2\.[0-9.]+", api):
        told = f"plugin-api-version {api!r}" if api else "no plugin-api-version, as before Composer 2"
        raise ProjectError(f"{LOCK} has {told}, and that of Composer 2 is known", _WRITE)
    wrong = [key for key in ("packages", "packages-dev") if not _is_packages(lock.get(key))]
    if wrong or not isinstance(lock.get("content-hash"), str):
        raise ProjectError(f"{LOCK} is of no known form: look at {wrong[0] if wrong else 'content-hash'}", _WRITE)
    odd = [f"{MANIFEST}: {each}" for each in schema.of_manifest(found.manifest)]
    odd += [f"{entry['name'][:80]}: {each}" for entry, _ in entries(found) for each in schema.of_package(entry)]
    if odd:
        raise ProjectError(faults("what Composer would not have written", odd), _WRITE)
    if lock["content-hash"] != contenthash.of(found.manifest):
        raise ProjectError(
            f"{LOCK} is out of step with {MANIFEST}: its content-hash is another",
            f"{php.RELOCKING}, and commit the file",
        )


def _is_packages(listed: object) -> bool:
    return isinstance(listed, list) and all(
        isinstance(each, dict) and isinstance(each.get("name"), str) and isinstance(each.get("version"), str)
        for each in listed
    )


def entries(found: Lockfile) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every package of the lock as it stands there, with whether only developers need it."""
    for key in ("packages", "packages-dev"):
        yield from ((each, key == "packages-dev") for each in found.lock[key])


def names(found: Lockfile) -> list[str]:
    """Faults of names and versions: these become parts of paths."""
    wrong: list[str] = []
    seen: dict[str, str] = {}
    for entry, _ in entries(found):
        name, version = entry["name"], entry["version"]
        if not _NAME.fullmatch(name):
            wrong.append(f"{name!r} is no package's name")
        elif not _VERSION.fullmatch(version) or ".." in version:
            wrong.append(f"{name}: {version!r} is no version")
        if other := seen.get(name.lower()):
            wrong.append(f"{name} is there twice" if other == name else f"{other} and {name} differ by case alone")
        seen[name.lower()] = name
    return wrong


def packages(found: Lockfile) -> tuple[list[Package], list[str]]:
    """What the lock names, and what of it cannot be had, with the reason."""
    known = {entry["name"].lower() for entry, _ in entries(found)}
    made, wrong = [], []
    for entry, dev in entries(found):
        try:
            made.append(_package(entry, known, found.path.parent, dev=dev))
        except ValueError as error:
            wrong.append(f"{entry['name']} {entry['version']}: {error}")
    return made, wrong


def _package(entry: dict[str, Any], known: set[str], root: Path, *, dev: bool) -> Package:
    needs = _texts(entry, "require")
    provides = {**_texts(entry, "provide"), **_texts(entry, "replace")}
    if entry.get("target-dir"):
        raise ValueError("target-dir, which Composer gave up in 2014, is not known here; lock a newer version")
    return Package(
        name=entry["name"],
        version=entry["version"],
        type=str(entry.get("type") or "library"),
        needs={name.lower(): each for name, each in needs.items()},
        provides={name.lower(): each for name, each in provides.items()},
        requires=tuple(sorted(name.lower() for name in needs if name.lower() in known)),
        license=_license(_listed(entry.get("license"))),
        bins=tuple(_bin(each) for each in _listed(entry.get("bin"))),
        dev=dev,
        **_origin(entry, root),
    )


def _texts(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    found = entry.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError(f"{key} is no table of names and constraints")
    return found


def _listed(value: str | list[str] | None) -> list[str]:
    """One text alone stands for a list of it (Composer's schema)."""
    return [value] if isinstance(value, str) else value or []


def _license(licenses: Sequence[str]) -> str:
    """Several licences mean that one may choose (Composer's schema)."""
    told = [" ".join(each.split()) for each in licenses]
    return told[0] if len(told) == 1 else " OR ".join(f"({each})" if " " in each else each for each in told)


def _bin(told: object) -> str:
    name = posixpath.normpath(str(told))
    if name.startswith(("/", "../")) or name in (".", ".."):
        raise ValueError(f"its program {told!r} is not below its folder")
    return name


def _origin(entry: dict[str, Any], root: Path) -> dict[str, Any]:
    """Where its files come from. Raises ValueError, for people, where that is nowhere known here."""
    dist, source = entry.get("dist"), entry.get("source")
    if entry.get("type") == "metapackage":
        return {"kind": "meta"}
    if isinstance(dist, dict):
        return _dist(dist, root, entry)
    if not isinstance(source, dict):
        raise ValueError("the lock names neither an archive nor a source of it; lock it again")
    if source.get("type") != "git":
        raise ValueError(
            f"its source is of type {source.get('type')!r}, and git is known; lock a version with an archive"
        )
    if not _COMMIT.fullmatch(str(source.get("reference"))):
        raise ValueError("its source names no whole commit; lock it again")
    return {"kind": "git", "urls": (str(source.get("url")),), "commit": str(source["reference"])}


def _dist(dist: dict[str, Any], root: Path, entry: dict[str, Any]) -> dict[str, Any]:
    form, url, shasum = dist.get("type"), str(dist.get("url") or ""), str(dist.get("shasum") or "").lower()
    if form == "path":
        return {"kind": "path", "directory": posixpath.normpath(root.joinpath(url).as_posix())}
    if form not in ("zip", "tar"):
        raise ValueError(f"its archive is of type {form!r}, and zip and tar are known")
    if shasum and not _SHA1.fullmatch(shasum):
        raise ValueError(f"its shasum {shasum[:50]!r} is no SHA-1")
    if not url:
        raise ValueError("the lock names no URL of its archive; lock it again")
    told = {"kind": "archive", "form": form, "commit": str(dist.get("reference") or "")}
    return {**told, "urls": _urls(dist, url, root, entry), "shasum": shasum}


def _urls(dist: Mapping[str, Any], url: str, root: Path, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Preferred mirrors, the address itself, other mirrors, as Composer tries them (its `Package::getUrls`)."""
    found = [url if "://" in url or url.startswith("/") else root.joinpath(url).as_posix()]
    for mirror in dist.get("mirrors") or ():
        made = mirrored(str(mirror.get("url")), entry)
        found = [made, *found] if mirror.get("preferred") else [*found, made]
    return tuple(dict.fromkeys(found))


def mirrored(template: str, entry: Mapping[str, Any]) -> str:
    """A mirror's address of an archive (Composer's `ComposerMirror::processUrl`)."""

    def hashed(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    dist, version = entry["dist"], str(entry.get("version_normalized") or entry["version"])
    reference = str(dist.get("reference") or "")
    told = {
        "%package%": entry["name"],
        "%version%": hashed(version) if "/" in version else version,
        "%reference%": reference if re.fullmatch("[a-f0-9]*|%reference%", reference) else hashed(reference),
        "%type%": str(dist.get("type")),
        "%prettyVersion%": str(entry["version"]),
    }
    return re.sub("|".join(map(re.escape, told)), lambda found: told[found[0]], template)

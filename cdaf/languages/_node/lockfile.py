"""package-lock.json, versions 2 and 3, and npm-shrinkwrap.json, which is the same and goes before (npm's docs)."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from cdaf import typed
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._node.values import MODULES

NAMES = ("npm-shrinkwrap.json", "package-lock.json")
OTHERS = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
}
_STRENGTH = ("sha512", "sha384", "sha256", "sha1")  # strongest first, as ssri chooses
_PART = r"(?!node_modules(?:/|$))[^/\\@._\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"
_PACKAGE = re.compile(rf"(?:@{_PART}/)?{_PART}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,255}")
_TOKEN = re.compile(rb'("resolved":\s*"https?://[^"?#]*)[?#][^"]*"')
_HINT = "restore it from git, or write it anew with `npm install --package-lock-only`"

Specs = dict[str, str]


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What a package says that it needs, in the lock and in package.json alike."""

    name: str = ""
    version: str = ""
    dependencies: Specs = {}
    dev_dependencies: Specs = {}
    optional_dependencies: Specs = {}
    peer_dependencies: Specs = {}
    peer_dependencies_meta: dict[str, dict[str, Any]] = {}


class Entry(Manifest, frozen=True, rename="camel"):
    """One of the lock's `packages` (npm's docs, package-lock.json)."""

    resolved: str | bool = ""
    integrity: str = ""
    link: bool = False
    dev: bool = False
    optional: bool = False
    dev_optional: bool = False
    extraneous: bool = False
    in_bundle: bool = False
    has_install_script: bool = False
    os: str | list[str] = []
    cpu: str | list[str] = []
    libc: str | list[str] = []
    engines: Any = None


class _Lock(msgspec.Struct, frozen=True, rename="camel"):
    packages: dict[str, msgspec.Raw]


class Lockfile(msgspec.Struct, frozen=True):
    """A lock as it lies on disk, its entries by path."""

    path: Path
    data: bytes
    version: int
    packages: dict[str, Entry]


def find(root: Path, top: Path) -> Path:
    """The lock nearest at or above `root`, not above `top`.

    Raises ProjectError where there is none, or one that only another tool can read.
    """
    folder = root
    while True:
        for name in NAMES:
            if (folder / name).is_file():
                return folder / name
        for name, tool in OTHERS.items():
            if (folder / name).is_file():
                raise ProjectError(
                    f"{folder / name} is {tool}'s own, which has no export that a sound layout could be made of; "
                    f"cdaf reads {NAMES[1]}",
                    "commit one beside it, made by `npm install --package-lock-only`, or set service.language",
                )
        if folder in (top, folder.parent):
            raise ProjectError(f"no {NAMES[1]} in {root} or above", "run `npm install --package-lock-only`, commit it")
        folder = folder.parent


def read(path: Path) -> Lockfile:
    """The lock. Raises ProjectError with all faults of its form."""
    return parse(path, path.read_bytes())


@lru_cache(maxsize=4)
def parse(path: Path, data: bytes) -> Lockfile:
    """The lock of these bytes; `path` is for messages and for what it names by relative paths."""
    try:
        told = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path.name} cannot be read: {error}", _HINT) from error
    version = told.get("lockfileVersion") if isinstance(told, dict) else None
    if version not in (2, 3) or isinstance(version, bool):
        raise ProjectError(
            f"{path.name} has lockfileVersion {version!r}, and cdaf reads 2 and 3",
            "write it anew with npm 7 or later: `npm install --package-lock-only --lockfile-version=3`",
        )
    try:
        raw = typed.decode(data, _Lock).packages
    except msgspec.MsgspecError as error:
        raise ProjectError(f"{path.name} cannot be read: {error}", _HINT) from error
    packages, wrong = {}, []
    for key, each in raw.items():
        try:
            packages[key] = typed.decode(each, Entry)
        except msgspec.ValidationError as error:
            wrong.append(f"{key!r}: {error}")
    wrong += [fault for key, entry in packages.items() for fault in _odd(key, entry)]
    wrong += _alike(packages)
    if not wrong and "" not in packages:
        wrong.append('it has no entry "" for the project itself')
    if wrong:
        raise ProjectError(faults(path.name, wrong), _HINT)
    return Lockfile(path, data, version, packages)


def manifest(path: Path) -> Manifest:
    """A package.json; all of it empty where there is none. Raises ProjectError when it cannot be read."""
    found: Manifest = _decoded(path, Manifest)
    return found


def table(path: Path) -> dict[str, Any]:
    """A package.json as it stands."""
    found: dict[str, Any] = _decoded(path, dict[str, Any])
    return found


def node_of(engines: object) -> str:
    """The range of Node versions that `engines` of a package.json asks for (npm's docs); empty for any."""
    wanted = engines.get("node") if isinstance(engines, dict) else None
    return wanted if isinstance(wanted, str) else ""


def _decoded(path: Path, kind: Any) -> Any:
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf") if path.is_file() else b"{}"
    try:
        return typed.decode(data, kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} cannot be read: {error}", "mend its JSON") from error


def _odd(key: str, entry: Entry) -> Iterator[str]:
    """Why nothing can stand at a path, or have such a name and version: what npm writes itself is never odd."""
    folder, *names = f"/{key}".split(f"/{MODULES}/")
    plain = (
        _is_plain(folder[1:]) and key[:1] != "/" and not any(ord(letter) < 32 or letter in "\\\x7f" for letter in key)
    )
    if not plain or not all(_PACKAGE.fullmatch(name) and not _is_dotted(name) for name in names):
        yield f"{key!r} is no path of a package"
    if entry.name and key and (not _PACKAGE.fullmatch(entry.name) or _is_dotted(entry.name)):
        yield f"{key!r} has the name {entry.name!r}, which no package has"
    if names and not entry.link and not _VERSION.fullmatch(entry.version):
        yield f"{key!r} has the version {entry.version!r}, which no package has"


def _alike(keys: Iterable[str]) -> Iterator[str]:
    """Paths that some file systems take for one; npm's own tree has no two of them either."""
    known: dict[str, str] = {}
    for key in keys:
        other = known.setdefault(unicodedata.normalize("NFKD", key).lower(), key)
        if other != key:
            yield f"{other!r} and {key!r} differ in letter case alone"


def _is_dotted(name: str) -> bool:
    return any(part in (".", "..") for part in name.split("/"))


def _is_plain(folder: str) -> bool:
    """Whether a folder is written in the one way that npm writes it: `..` at its start alone."""
    inner = re.sub(r"^(\.\./)*(\.\.$)?", "", folder)
    return not inner or (posixpath.normpath(inner) == inner and not inner.startswith(("/", "..")))


def redacted(data: bytes) -> bytes:
    """The lock without what URLs of archives carry after their path: tokens, sometimes."""
    return _TOKEN.sub(rb'\1"', data)


def hashes(label: str, integrity: str) -> dict[str, str]:
    """A Subresource Integrity string (W3C SRI) as hex by hashlib's name, the strongest algorithm alone.

    Raises ResolveError when it holds no hash of a known algorithm.
    """
    found: dict[str, str] = {}
    for each in integrity.split():
        algorithm, _, value = each.partition("?")[0].partition("-")
        try:
            found.setdefault(algorithm, base64.b64decode(value, validate=True).hex())
        except (binascii.Error, ValueError):
            continue
    for algorithm in _STRENGTH:
        if len(found.get(algorithm, "")) == {"sha512": 128, "sha384": 96, "sha256": 64, "sha1": 40}[algorithm]:
            return {algorithm: found[algorithm]}
    raise ResolveError(f"{label} has the integrity {integrity!r}, which is no hash", "lock it again")

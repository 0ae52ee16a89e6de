"""What a package's tarball becomes in the image, by the rules of pacote, bin-links and npm-normalize-package-bin.

Links in it are passed over, `.gitignore` becomes `.npmignore` where there is none, programs are executable and their
first line ends as Unix has it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import msgspec

from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.errors import ImageError, ResolveError, faults
from cdaf.images import content, listing, tarread
from cdaf.images.tarread import Member
from cdaf.languages._node.values import MODULES
from cdaf.languages._shared import memo

_EVENTS = ("preinstall", "install", "postinstall", "prepare")
_WINDOWS = re.compile(rb"^(#![^\n]+)\r\n")
_HEAD = 2048
_ODD = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")  # what no path of a package holds
_LARGEST = 1 << 24
_LONGEST_LICENSE = 120


class Package(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a package.json says that matters here: `bin` is normalised, `scripts` are those of installing."""

    name: str = ""
    version: str = ""
    license: str = ""
    bin: dict[str, str] = {}
    scripts: dict[str, str] = {}
    gypfile: bool = True


class Moved(msgspec.Struct, frozen=True):
    """A member of the archive that stands at another path, or with another mode."""

    member: str
    path: str
    mode: int | None = None


class Written(msgspec.Struct, frozen=True):
    """A file that cannot be taken from the archive as it stands."""

    path: str
    data: bytes
    mode: int = 0o644


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tarball, read once; paths are below the package's folder.

    `files` has each path's member, `skip` the members that no path has, `moved` and `written` the exceptions,
    `packages` the package itself at "" and those bundled in it at their folders, `native` what ELF files ask for;
    `bundles` says whether it has a node_modules of its own.
    """

    files: dict[str, str]
    skip: tuple[str, ...] = ()
    moved: tuple[Moved, ...] = ()
    written: tuple[Written, ...] = ()
    packages: dict[str, Package] = {}
    native: dict[str, Elf] = {}
    bundles: bool = False

    @property
    def package(self) -> Package:
        """The package itself."""
        return self.packages.get("", Package())

    @property
    def gyp(self) -> bool:
        """Whether npm would have it built by node-gyp."""
        return "binding.gyp" in self.files and self.package.gypfile


@lru_cache(maxsize=4096)
def read(path: Path, sha256: str, label: str, linked: bool = False) -> Reading:
    """The reading of a tarball, from the cache when it was read before.

    What npm only links to (`linked`) stands as it is, with its own links and ignore files. Raises ResolveError,
    naming the package, with everything that makes it unfit.
    """
    name = memo.key("npm tarball", sha256, str(linked))
    known = memo.load(name, Reading)
    if known is None:
        known = _read(path, sha256, label, linked=linked)
        memo.save(name, known)
    return known


def _read(path: Path, sha256: str, label: str, *, linked: bool) -> Reading:
    try:
        with content.reading(content.of_file(path, sha256)) as reader, tarread.scratch() as held:
            members = list(tarread.members(reader, held))
            _demand_plain(members)
            return _reading(members, held, linked=linked)
    except (ImageError, ValueError) as error:
        message = error.message if isinstance(error, ImageError) else str(error)
        hint = "ask its maintainers for a sound one, or lock another version"
        raise ResolveError(f"{label} is not a tarball that can be installed: {message}", hint) from error


def _demand_plain(members: Sequence[Member]) -> None:
    """Raise ValueError for names that leave the folder, and for a file that others want to stand below."""
    wrong = [f"{each.name!r} leaves its folder" for each in members if not _is_plain(each.name)]
    paths = {path for each in members if (path := _path(each)) and not each.target}
    wrong += listing.stacked(paths)
    if wrong:
        raise ValueError(faults("it", wrong))


def _is_plain(name: str) -> bool:
    return not ({"", ".", ".."} & set(name.split("/")) or _ODD.search(name))


def _path(member: Member) -> str:
    """Where it stands below the package's folder, without the archive's own top folder; empty for what has none."""
    return member.name.partition("/")[2]


def _reading(members: Sequence[Member], held: IO[bytes], *, linked: bool) -> Reading:
    last: dict[str, Member] = {}
    for each in members:
        path = _path(each)
        path = path if linked else _renamed(path, last)
        if path and not each.target:
            last[path] = each
    kept, winners = {each.name for each in last.values()}, {id(each) for each in last.values()}
    skip = {each.name for each in members if each.name not in kept and not (linked and each.target)}
    again = {each.name for each in members if each.name in kept and id(each) not in winners}
    packages = {folder: _package(_data(last[path], held), folder, last) for path, folder in _manifests(last)}
    programs = {posixpath.join(folder, target) for folder, each in packages.items() for target in each.bin.values()}
    moved, written = [], []
    for path, member in last.items():
        program = path in programs
        if member.name in again or (program and _WINDOWS.match(_data(member, held, _HEAD))):
            data = _data(member, held, member.size)
            data = _WINDOWS.sub(rb"\1\n", data) if program else data
            written.append(Written(path, data, 0o755 if program or member.executable else 0o644))
            skip.add(member.name)
        elif path != _path(member) or (program and not member.executable):
            moved.append(Moved(member.name, path, 0o755 if program else None))
    return Reading(
        {path: member.name for path, member in last.items()},
        tuple(sorted(skip)),
        tuple(moved),
        tuple(written),
        packages,
        dict(_native(last, held)),
        any(path.startswith(f"{MODULES}/") for path in last),
    )


def _renamed(path: str, before: Mapping[str, Member]) -> str:
    """A .gitignore is installed as .npmignore, and not at all after one (pacote's fetcher)."""
    folder, _, name = path.rpartition("/")
    if name != ".gitignore":
        return path
    other = posixpath.join(folder, ".npmignore")
    return "" if other in before and before[other].name.endswith(".npmignore") else other


def _data(member: Member, held: IO[bytes], most: int = _LARGEST) -> bytes:
    held.seek(member.offset)
    return held.read(min(member.size, most))


def _manifests(files: Mapping[str, Member]) -> Iterator[tuple[str, str]]:
    """The package.json of the package, and of those that are bundled in its node_modules."""
    for path in files:
        if path == "package.json":
            yield path, ""
        elif re.fullmatch(rf"(?:{MODULES}/(?:@[^/]+/)?[^/@]+/)+package\.json", path):
            yield path, path.removesuffix("/package.json")


def _package(data: bytes, folder: str, files: Mapping[str, Member]) -> Package:
    try:
        told = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{posixpath.join(folder, 'package.json')} cannot be read: {error}") from error
    return package(told if isinstance(told, dict) else {}, folder, files)


def package(told: Mapping[str, Any], folder: str, files: Mapping[str, Any]) -> Package:
    """What a package.json says, of a package in this folder of these files."""
    scripts = told.get("scripts")
    name = told.get("name")
    bins = programs(told, [each.removeprefix(f"{folder}/") if folder else each for each in files])
    return Package(
        name if isinstance(name, str) else "",
        str(told.get("version", "")),
        _license(told),
        {key: target for key, target in bins.items() if posixpath.join(folder, target) in files},
        {key: scripts[key] for key in _EVENTS if isinstance(scripts.get(key), str) and scripts[key]}
        if isinstance(scripts, dict)
        else {},
        told.get("gypfile") is not False,
    )


def programs(told: Mapping[str, Any], files: Sequence[str]) -> dict[str, str]:
    """The programs of a package by name, each with its file (npm-normalize-package-bin)."""
    declared, folders = told.get("bin"), told.get("directories")
    if isinstance(declared, str):
        declared = {str(told.get("name", "")): declared}
    elif isinstance(declared, list):
        declared = {posixpath.basename(str(each)): each for each in declared}
    elif not isinstance(declared, dict):
        below = posixpath.normpath(f"/{folders['bin']}")[1:] if isinstance(folders, dict) and folders.get("bin") else ""
        names = [name for name in files if below and name.startswith(f"{below}/") and "/." not in name]
        declared = {posixpath.basename(name): name for name in names}
    found = {}
    for key, target in declared.items():
        base = posixpath.normpath("/" + re.sub(r"[\\:]", "/", key).rstrip("/").rpartition("/")[2]).lstrip("/")
        path = posixpath.normpath("/" + target.replace("\\", "/")).lstrip("/") if isinstance(target, str) else ""
        if base and path and not any(ord(letter) < 32 for letter in base):
            found[base] = path
    return found


def _license(told: Mapping[str, Any]) -> str:
    listed = told.get("license") or told.get("licenses") or ""
    names = [
        each.get("type", "") if isinstance(each, dict) else each
        for each in (listed if isinstance(listed, list) else [listed])
    ]
    named = [" ".join(each.split()) for each in names if isinstance(each, str) and each.strip()]
    text = named[0] if len(named) == 1 else f"({' OR '.join(named)})" if named else ""
    return text if len(text) <= _LONGEST_LICENSE and text.isprintable() else ""


def _native(files: Mapping[str, Member], held: IO[bytes]) -> Iterator[tuple[str, Elf]]:
    for path, member in files.items():
        if _data(member, held, len(elf.MAGIC)) != elf.MAGIC:
            continue
        start, size = member.offset, member.size

        def at(offset: int, count: int, start: int = start, size: int = size) -> bytes:
            held.seek(start + offset)
            return held.read(max(0, min(count, size - offset)))

        if found := elf.read(at):
            yield path, found

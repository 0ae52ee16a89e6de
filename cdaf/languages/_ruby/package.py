"""Reading a .gem: a tar that holds a gem's files as `data.tar.gz` and its description as `metadata.gz`."""

from __future__ import annotations

import posixpath
import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.errors import ImageError, ResolveError, faults
from cdaf.images import content
from cdaf.images.content import Reader
from cdaf.languages._ruby import gemspec
from cdaf.languages._ruby.gemspec import Gemspec
from cdaf.languages._shared import memo

if TYPE_CHECKING:
    from cdaf.images.tarread import Member

ENTRANCE = "Init_"  # the function by which Ruby enters an extension, before the extension's name
_LARGE, _SWOLLEN = 1 << 28, 100  # bytes that any gem may hold, and how many times its size a large one may
_ODD = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_MOST = 1 << 24  # bytes of a description; real ones have thousands


class Reading(msgspec.Struct, frozen=True):
    """What a gem holds: its description, its files by name, and the native ones among them."""

    spec: Gemspec
    files: tuple[str, ...]
    native: dict[str, Elf] = {}


@lru_cache(maxsize=4096)
def read(path: Path, sha256: str, label: str) -> Reading:
    """What the gem at `path` holds, read once for all runs; `label` is for messages. Raises ResolveError."""
    name = memo.key("gem", sha256)
    known = memo.load(name, Reading)
    if known is None:
        known = _read(path, label)
        memo.save(name, known)
    return known


def _read(path: Path, label: str) -> Reading:
    from cdaf.images import tarread

    hint = "lock another version"
    try:
        with content.reading(content.of_file(path, "")) as reader:
            spec = gemspec.parse(_inflated(tarread.inner(reader, "metadata.gz")), label)
            names, native, wrong = _members(tarread.inner(reader, "data.tar.gz"))
    except ImageError as error:
        raise ResolveError(f"{label}: {error.message}", hint) from error
    except (zlib.error, EOFError) as error:
        raise ResolveError(f"{label}: damaged: {error}", hint) from error
    if wrong:
        raise ResolveError(faults(label, wrong), hint)
    return Reading(spec, tuple(names), native)


def _inflated(reader: Reader) -> bytes:
    inflating = zlib.decompressobj(wbits=31)
    data = inflating.decompress(reader.at(0, reader.content.size), _MOST)
    if not inflating.eof:
        raise EOFError("its metadata is cut short, or larger than any")
    return data


def _members(reader: Reader) -> tuple[list[str], dict[str, Elf], list[str]]:
    from cdaf.images import listing, tarread

    names: list[str] = []
    native: dict[str, Elf] = {}
    wrong: list[str] = []
    seen: set[str] = set()
    with tarread.scratch() as held:
        total = 0
        for member in tarread.members(reader, held):
            total += member.size
            if total > max(_LARGE, _SWOLLEN * reader.content.size):
                return names, native, [f"it holds more than {total >> 20} MiB, {_SWOLLEN} times its own size"]
            wrong += [fault for fault in [_fault(member, seen)] if fault]
            seen.add(member.name)
            names.append(member.name)
            if not member.target and member.size > len(elf.MAGIC):
                held.seek(member.offset)
                if held.read(len(elf.MAGIC)) == elf.MAGIC:
                    held.seek(member.offset)
                    found = elf.of_bytes(held.read(member.size), entrance(member.name))
                    native |= {member.name: found} if found else {}
    return names, native, wrong or listing.stacked(seen)


def _fault(member: Member, seen: set[str]) -> str:
    """What makes a path unfit to be spread below the gem's folder."""
    name = member.name
    if not name or name != posixpath.normpath(name) or ".." in name.split("/") or _ODD.search(name):
        return f"the path {name!r} leads out of it, or is written oddly"
    if name in seen:
        return f"the path {name!r} is there twice"
    if member.target:
        led = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.target))
        if member.target.startswith("/") or led.split("/")[0] == "..":
            return f"{name!r} is a link out of it, to {member.target!r}"
    return ""


def entrance(name: str) -> str:
    """The symbol by which Ruby would enter a file as an extension."""
    return f"{ENTRANCE}{posixpath.basename(name).partition('.')[0]}"

"""Tar headers whose every byte follows from the entry (POSIX.1-2001 pax interchange format).

One time for all, no names of owners, and a pax record only where ustar has no room.
"""

from functools import lru_cache
from typing import Literal

import msgspec

TIME = 315532800  # 1980-01-01T00:00:00Z, the earliest that zip knows too
BLOCK = 512
END = bytes(2 * BLOCK)
_KINDS = {"file": b"0", "link": b"2", "dir": b"5"}
_REST = (b"ustar\x0000" + bytes(64) + b"%07o\0" % 0 + b"%07o\0" % 0).ljust(255, b"\0")  # no names, no devices


class Header(msgspec.Struct, frozen=True):
    """One entry: `path` is relative, without a leading slash; `size` in bytes, of a file alone."""

    path: str
    kind: Literal["file", "link", "dir"]
    mode: int = 0o644
    size: int = 0
    target: str = ""
    uid: int = 0
    gid: int = 0


def encode(header: Header) -> bytes:
    """The header's blocks, a pax header in front where a value does not fit."""
    name = (header.path + "/" if header.kind == "dir" else header.path).encode()
    target = header.target.encode()
    records = b""
    if len(name) > 100 or not name.isascii():
        records += _record(b"path", name)
    if len(target) > 100 or not target.isascii():
        records += _record(b"linkpath", target)
    if header.size >= 1 << 33:
        records += _record(b"size", str(header.size).encode())
    block = _block(name, header.mode, header.uid, header.gid, header.size, _KINDS[header.kind], target)
    if not records:
        return block
    extended = _block(b"././@PaxHeader", 0o644, 0, 0, len(records), b"x", b"")
    return extended + records + padding(len(records)) + block


def padding(size: int) -> bytes:
    """The zeros that fill a file of `size` bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH key=value\\n`, where the length counts itself."""
    bare = len(key) + len(value) + 3
    length = bare + len(str(bare))
    length = bare + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(name: bytes, mode: int, uid: int, gid: int, size: int, kind: bytes, target: bytes) -> bytes:
    name, target = name[:100], target[:100]
    length = b"%011o\0" % (size if size < 1 << 33 else 0)
    owner, when, known = _owner(mode, uid, gid, kind, TIME)
    total = b"%06o\0 " % (known + sum(name) + sum(length) + sum(target))
    return b"".join((name.ljust(100, b"\0"), owner, length, when, total, kind, target.ljust(100, b"\0"), _REST))


@lru_cache(maxsize=256)
def _owner(mode: int, uid: int, gid: int, kind: bytes, time: int) -> tuple[bytes, bytes, int]:
    """The fields of mode and owner, that of the time, and what all that hangs on these adds to a header's checksum."""
    owner = b"%07o\0%07o\0%07o\0" % (mode, uid, gid)
    when = b"%011o\0" % time
    return owner, when, sum(owner) + sum(when) + 8 * ord(" ") + sum(kind) + sum(_REST)

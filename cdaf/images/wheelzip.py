"""Reading zip archives by position, down to the raw deflate streams (PKWARE APPNOTE, sections 4.3.7 to 4.3.16).

`zipfile` would inflate what a layer takes as it stands.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from cdaf.errors import ImageError
from cdaf.images.content import CHUNK, Reader

STORED, DEFLATED = 0, 8
_END = struct.Struct("<4s4H2LH")  # signature, two disks, two counts, size and offset of the directory, comment
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL_SIZE = 30
_EXTRA = 64  # bytes of extra fields that are read ahead, so that a small member takes one read


class Entry(msgspec.Struct, frozen=True):
    """A file of the archive; sizes in bytes, `offset` is that of its local header."""

    name: str
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    executable: bool


def entries(reader: Reader) -> tuple[Entry, ...]:
    """The archive's files (folders are left out), in its own order.

    Raises ImageError when it is not a plain zip: encrypted, spread over disks, zip64 or damaged.
    """
    size = reader.content.size
    tail = reader.at(max(0, size - _END.size - 0xFFFF), _END.size + 0xFFFF)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise ImageError("not a zip archive: no end of central directory")
    count, length, start = _END.unpack_from(tail, at)[4:7]
    if count == 0xFFFF or 0xFFFFFFFF in (length, start):
        raise ImageError("a zip64 archive, which no wheel needs")
    return tuple(_walk(reader.at(start, length), count))


def _walk(directory: bytes, count: int) -> Iterator[Entry]:
    at = 0
    for _ in range(count):
        if directory[at : at + 4] != b"PK\x01\x02" or len(directory) - at < _CENTRAL.size:
            raise ImageError("a damaged zip archive: its central directory is not whole")
        row = _CENTRAL.unpack_from(directory, at)
        flags, method, crc, compressed, size = row[3], row[4], row[7], row[8], row[9]
        name_size, extra, comment, attributes, offset = row[10], row[11], row[12], row[15], row[16]
        raw = directory[at + _CENTRAL.size : at + _CENTRAL.size + name_size]
        try:
            name = raw.decode("utf-8" if flags & 0x800 else "cp437")
        except UnicodeDecodeError as error:
            raise ImageError(f"a damaged zip archive: {raw!r} is not the UTF-8 that it says it is") from error
        at += _CENTRAL.size + name_size + extra + comment
        if flags & 1 or method not in (STORED, DEFLATED):
            raise ImageError(f"{name}: encrypted, or compressed by method {method}; only stored and deflated are known")
        if not name.endswith("/"):
            yield Entry(name, method, crc, compressed, size, offset, bool((attributes >> 16) & 0o111))
    if at != len(directory):
        # Others go by the directory's size, and would find more files than are counted here.
        raise ImageError("a damaged zip archive: its central directory holds more than it counts")


def raw(reader: Reader, entry: Entry) -> Iterator[bytes]:
    """The entry's bytes as the archive holds them, at most 1 MiB at a time."""
    known = _LOCAL_SIZE + len(entry.name.encode()) + _EXTRA
    local = reader.at(entry.offset, known + (entry.compressed if entry.compressed < CHUNK else 0))
    if len(local) < _LOCAL_SIZE or local[:4] != b"PK\x03\x04":
        raise ImageError(f"{entry.name}: a damaged zip archive: no local header where the directory says")
    head = _LOCAL_SIZE + sum(struct.unpack_from("<2H", local, 26))
    if entry.compressed < CHUNK and head + entry.compressed <= len(local):
        yield local[head : head + entry.compressed]
        return
    start = entry.offset + head
    for offset in range(start, start + entry.compressed, CHUNK):
        yield reader.at(offset, min(CHUNK, start + entry.compressed - offset))


def inflate(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of a compressed piece and what it inflates to, at most about 1 MiB of either at a time.

    Raises ImageError when the stream ends early or goes on after its end.
    """
    coder = zlib.decompressobj(-15)
    try:
        for piece in pieces:
            taken, rest = piece, piece
            while rest:
                data = coder.decompress(rest, CHUNK)
                rest = coder.unconsumed_tail
                yield taken, data
                taken = b""
        yield b"", coder.flush()
    except zlib.error as error:
        raise ImageError(f"a damaged deflate stream: {error}") from error
    if not coder.eof or coder.unused_data:
        raise ImageError("a deflate stream that does not end where the archive says")


def contents(reader: Reader, entry: Entry) -> Iterator[bytes]:
    """The entry's own bytes, inflated, at most about 1 MiB at a time."""
    if entry.method == DEFLATED:
        yield from (data for _, data in inflate(raw(reader, entry)))
    else:
        yield from raw(reader, entry)

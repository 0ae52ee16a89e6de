"""The pinned coder: a layer as a row of gzip members (RFC 1952, section 2.2).

Deflate streams that an archive already holds are wrapped as they stand, so no compressor touches them; all else goes
through one exact version of libdeflate, in pieces whose borders depend on nothing but the content.
"""

import hashlib
import struct
import zlib
from typing import IO, Any

import deflate

_LEVEL = 6
_PIECE = 1 << 20
_BLOCK = 1 << 18
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown system
_TRAILER = struct.Struct("<II")


def deflated(data: bytes) -> bytes:
    """The data as one raw deflate stream (RFC 1951)."""
    return bytes(deflate.deflate_compress(data, _LEVEL))


class Stream:
    """A layer being written: its compressed bytes go to `out`, while both digests and the size are kept.

    With `diff` false the diff id is known already, and nothing is inflated to find it. Where `splices` is false there
    are no spliced members: everything is plain, and cut into pieces of `piece` bytes.
    """

    splices = True
    piece = _PIECE

    def __init__(self, out: IO[bytes], *, diff: bool = True) -> None:
        self._out = out
        self._blob: Any = hashlib.sha256()
        self._diff: Any = hashlib.sha256() if diff else None
        self._waiting = bytearray()
        self._ready = bytearray()
        self.size = 0

    @property
    def diffing(self) -> bool:
        """Whether the diff id is asked for."""
        return self._diff is not None

    def plain(self, data: bytes) -> None:
        """Add bytes that have to be compressed."""
        self._waiting += data
        while len(self._waiting) >= self.piece:
            self._member(bytes(self._waiting[: self.piece]))
            del self._waiting[: self.piece]

    def begin(self) -> None:
        """Begin a spliced member: what waits is written, and `spliced` may follow."""
        if self._waiting:
            self._member(bytes(self._waiting))
            self._waiting.clear()
        self._ready += _HEADER
        self.size += len(_HEADER)

    def spliced(self, raw: bytes) -> None:
        """Add bytes of a finished deflate stream as they stand."""
        self._write(raw)

    def inflated(self, data: bytes) -> None:
        """Account for what a spliced stream inflates to."""
        self._account(data)

    def end(self, crc: int, size: int) -> None:
        """End a spliced member with its checksum and its inflated size."""
        self._write(_TRAILER.pack(crc, size & 0xFFFFFFFF))

    def finish(self) -> tuple[str, str]:
        """Write what waits; the blob's digest and the diff id, both `sha256:…`, the latter empty when not asked for."""
        if self._waiting or not self.size:
            self._member(bytes(self._waiting))
            self._waiting.clear()
        self._flush()
        return f"sha256:{self._blob.hexdigest()}", f"sha256:{self._diff.hexdigest()}" if self.diffing else ""

    def _account(self, data: bytes) -> None:
        if self.diffing:
            self._diff.update(data)

    def _member(self, data: bytes) -> None:
        self._account(data)
        self._write(b"".join((_HEADER, deflated(data), _TRAILER.pack(zlib.crc32(data), len(data)))))

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        self._ready += data
        if len(self._ready) >= _BLOCK:  # a layer is thousands of small parts, too many to hash and write each
            self._flush()

    def _flush(self) -> None:
        self._blob.update(self._ready)
        self._out.write(self._ready)
        self._ready = bytearray()


def stream(out: IO[bytes], compression: str, *, diff: bool = True) -> Stream:
    """The coder of a plan's `compression`; the one of zstd is only loaded when it is asked for."""
    if compression == "zstd":
        from cdaf.images.zstd import Frames

        return Frames(out, diff=diff)
    return Stream(out, diff=diff)

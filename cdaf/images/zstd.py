"""Layers by zstd (RFC 8878), for who chose it: a row of frames whose borders depend on nothing but the content.

Nothing is spliced: a wheel's streams are deflate. The library is one exact version, and runs without threads, for with
threads its bytes are others.
"""

from typing import IO, Any

from cdaf.images.coder import Stream

_LEVEL = 6
_PIECE = 1 << 22  # a frame knows nothing of the one before it: from 4 MiB on larger ones gain little


class Frames(Stream):
    """A layer being written as frames, each with its size and without a checksum: the blob has its digest."""

    splices = False
    piece = _PIECE

    def __init__(self, out: IO[bytes], *, diff: bool = True) -> None:
        import zstandard

        super().__init__(out, diff=diff)
        self._coder = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True, write_checksum=False, threads=0)

    def _member(self, data: bytes) -> None:
        self._account(data)
        self._write(self._coder.compress(data))


def inflated(raw: IO[bytes]) -> Any:
    """What a file of frames holds, as a file to be read from its start to its end; damage is an OSError."""
    return _Plain(raw)


class _Plain:
    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._damaged = zstandard.ZstdError
        self._reader: Any = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._reader.read(size))
        except self._damaged as error:
            raise OSError(str(error)) from error

"""Bytes that a plan names, wherever they lie: in memory, in a file, or as a slice of a bundle."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cdaf.errors import BundleError

CHUNK = 1 << 20


class Content(msgspec.Struct, frozen=True):
    """One member's bytes: `data`, or `size` bytes of the file at `path` from `offset` on."""

    sha256: str
    size: int
    path: Path | None = None
    offset: int = 0
    data: bytes = b""
    stamp: tuple[int, ...] = ()  # of the file when it was verified; what is read of another one is refused


Contents = Mapping[str, Content]  # by bundle member name


class Reader(msgspec.Struct, frozen=True):
    """An open content: positional reads, so that threads may share it."""

    content: Content
    handle: int

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on, fewer only at the content's end."""
        size = max(0, min(size, self.content.size - offset))
        if self.handle < 0:
            return self.content.data[offset : offset + size]
        return os.pread(self.handle, size, self.content.offset + offset)


@contextmanager
def reading(content: Content) -> Iterator[Reader]:
    """Open a content for positional reads. Raises BundleError when its file is not, or no longer, the one verified."""
    if content.path is None:
        yield Reader(content, -1)
        return
    handle = os.open(content.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _demand_same(content, handle)
        yield Reader(content, handle)
        _demand_same(content, handle)
    finally:
        os.close(handle)


def stamp(handle: int) -> tuple[int, ...]:
    """What tells an open file from another one, and from itself after a change."""
    facts = os.fstat(handle)
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _demand_same(content: Content, handle: int) -> None:
    if content.stamp and stamp(handle) != content.stamp:
        raise BundleError(f"{content.path}: changed since it was verified", "start again when nothing writes to it")


def chunks(content: Content) -> Iterator[bytes]:
    """The whole content, at most 1 MiB at a time."""
    with reading(content) as reader:
        for offset in range(0, content.size, CHUNK):
            yield reader.at(offset, CHUNK)


def of_bytes(data: bytes) -> Content:
    """Content held in memory."""
    return Content(hashlib.sha256(data).hexdigest(), len(data), data=data)


def of_file(path: Path, sha256: str | None = None) -> Content:
    """A whole file as content; it is read once unless its digest is known, and then stands for what was read."""
    if sha256 is not None:
        return Content(sha256, path.stat().st_size, path)
    with path.open("rb") as file:
        before = stamp(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Content(sha256, before[2], path, stamp=before)


def source(content: Content) -> bytes | Path:
    """Content that is in memory or a whole file, as what `bundle.seal` takes."""
    return content.data if content.path is None else content.path

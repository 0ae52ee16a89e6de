"""Reading archives that are one stream, `.tar` and `.tgz`, for layers (POSIX.1-2001 pax, and GNU's and V7's forms).

A stream has no places to go to, and a layer's order is not the archive's: what is inflated waits in one scratch file
for the whole layer, in memory while it is small and on the cache's disk from then on.
"""

import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from gzip import GzipFile
from typing import IO, Any

import msgspec

from cdaf import places
from cdaf.errors import ImageError
from cdaf.images import content
from cdaf.images.content import CHUNK, Content, Reader

_GZIP = b"\x1f\x8b"
_IN_MEMORY = 1 << 23
_REFUSED = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class Member(msgspec.Struct, frozen=True):
    """A file, its `size` bytes from `offset` of the scratch file on, or with `target` a symbolic link."""

    name: str
    size: int = 0
    offset: int = 0
    executable: bool = False
    target: str = ""


def scratch() -> Any:
    """A file for what archives inflate to, gone when it is closed."""
    places.cache().mkdir(parents=True, exist_ok=True)
    return tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(places.cache()))


def headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The headers of a stream one by one; the list that tarfile keeps of them is emptied, for nobody goes back."""
    opened: Any = archive  # type stubs do not know the list
    while (info := archive.next()) is not None:
        opened.members = []
        yield info


def members(reader: Reader, into: IO[bytes]) -> Iterator[Member]:
    """The archive's files and symbolic links in its own order, folders left out; what files hold is added to `into`.

    Raises ImageError for a damaged archive, and for all members at once that no image is given: hard links, devices.
    """
    wrong: list[str] = []
    try:
        plain = _plain(reader)
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for info in headers(archive):
                kind = "a sparse file" if info.issparse() else _REFUSED.get(info.type)
                kind = "a link to nothing" if info.issym() and not info.linkname else kind
                kind = "an absolute path" if info.name.startswith("/") else kind
                if kind or not (info.isreg() or info.issym() or info.isdir()):
                    target = f" to {info.linkname}" if info.islnk() else ""
                    wrong.append(f"{info.name} is {kind or 'of an unknown kind'}{target}")
                elif not info.isdir():
                    yield _member(archive, info, into)
        while plain.read(CHUNK):
            pass  # a gzip's checksum stands at its end, and tarfile stops before
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(f"a damaged archive: {error}") from error
    if wrong:
        raise ImageError(f"{', '.join(wrong)}; only files, folders and symbolic links enter an image")


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo, into: IO[bytes]) -> Member:
    name = info.name.removeprefix("./")
    if info.issym():
        return Member(name, target=info.linkname)
    start = into.seek(0, 2)
    source = archive.extractfile(info)
    while source is not None and (piece := source.read(CHUNK)):
        into.write(piece)
    if into.tell() - start != info.size:
        raise EOFError(f"{info.name} is cut short")
    return Member(name, info.size, start, bool(info.mode & 0o111))


def inner(reader: Reader, name: str) -> Reader:
    """A regular file of a tar that is not compressed, as an archive of its own: a gem's files are its `data.tar.gz`.

    Raises ImageError when there is no such file, or the tar is damaged.
    """
    raw: Any = _Raw(reader)
    try:
        with tarfile.open(fileobj=raw, mode="r|") as archive:
            for info in headers(archive):
                if info.isreg() and info.name == name:
                    return _slice(reader, info.offset_data, info.size)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ImageError(f"a damaged archive: {error}") from error
    raise ImageError(f"holds no {name}")


def _slice(reader: Reader, offset: int, size: int) -> Reader:
    whole = reader.content
    if offset + size > whole.size:
        raise ImageError("a damaged archive: it is cut short")
    data = whole.data[offset : offset + size]
    return Reader(Content("", size, whole.path, whole.offset + offset, data, whole.stamp), reader.handle)


def pieces(member: Member, held: IO[bytes]) -> Iterator[bytes]:
    """A file's bytes out of the scratch file, at most 1 MiB at a time."""
    for at in range(0, member.size, CHUNK):
        held.seek(member.offset + at)
        yield held.read(min(CHUNK, member.size - at))


class _Raw:
    """An archive's bytes, as the file that its readers want."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._at = reader, 0

    def read(self, size: int = CHUNK) -> bytes:
        data = self._reader.at(self._at, size if size >= 0 else CHUNK)
        self._at += len(data)
        return data


def _plain(reader: content.Reader) -> Any:
    raw: Any = _Raw(reader)
    return GzipFile(fileobj=raw, mode="rb") if reader.at(0, 2) == _GZIP else raw

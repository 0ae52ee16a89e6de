"""Layers that others wrote, written anew: the same files in one order, at one time, through the pinned coder.

What a build does to the same files at another hour or on another engine then gives the same bytes (OCI image-spec,
layer.md; POSIX.1-2001 pax). Owners, modes, links, devices and extended attributes stay as they are.
"""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cdaf import progress, store
from cdaf.errors import ImageError
from cdaf.images import coder, listing, oci, tarform
from cdaf.images.listing import Row

LISTINGS, _BLOBS = "listings", "blobs"
_CHUNK = 1 << 20
_XATTR = "SCHILY.xattr."
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.DIRTYPE: "dir",
    tarfile.FIFOTYPE: "pipe",
}


def layer(source: Path, compression: str, name: str) -> oci.Layer:
    """Write a layer's tar, compressed or not, as a blob of the cache, and what it holds beside it.

    Raises ImageError when it cannot be read.
    """
    rows: list[Row] = []
    with store.writing(_BLOBS) as (file, temporary), progress.transfer(f"layer {name}", source.stat().st_size) as moved:
        stream = coder.stream(file, compression)
        try:
            with tarfile.open(source) as archive:
                for info in _ordered(archive):
                    rows.append(_write(archive, info, stream))
        except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
            raise ImageError(f"layer {name} cannot be read: {error}", "build it again") from error
        stream.plain(tarform.END)
        digest, diff_id = stream.finish()
        file.flush()
        moved(source.stat().st_size)
        path = store.keep(temporary, _BLOBS, oci.hexed(digest))
    store.remember(LISTINGS, oci.hexed(digest), listing.lines(rows))
    return oci.Layer(digest, diff_id, stream.size, oci.LAYERS[compression], name, path)


def _ordered(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """By path, hard links last: what they lead to has to be there."""
    found = {_path(each.name): each for each in archive.getmembers() if _path(each.name)}
    return sorted(found.values(), key=lambda each: (each.islnk(), _path(each.name).split("/")))


def _path(name: str) -> str:
    return name.removeprefix("./").strip("/")


def _write(archive: tarfile.TarFile, info: tarfile.TarInfo, stream: coder.Stream) -> Row:
    made = tarfile.TarInfo(_path(info.name))
    made.type = tarfile.REGTYPE if info.isreg() else info.type
    made.mode, made.uid, made.gid, made.mtime = info.mode & 0o7777, info.uid, info.gid, tarform.TIME
    made.size = info.size if info.isreg() else 0
    made.linkname = _path(info.linkname) if info.islnk() else info.linkname
    if info.isdev():
        made.devmajor, made.devminor = info.devmajor, info.devminor
    kept = sorted((key, value) for key, value in info.pax_headers.items() if key.startswith(_XATTR))
    made.pax_headers = dict(kept)
    stream.plain(made.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    crc = 0
    for piece in _content(archive, info) if info.isreg() else ():
        crc = zlib.crc32(piece, crc)
        stream.plain(piece)
    stream.plain(tarform.padding(made.size))
    told = made.mode, made.uid, made.gid, made.size, made.linkname, crc
    return Row(made.name, _KINDS.get(made.type, "other"), *told)


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    source: IO[bytes] | None = archive.extractfile(info)
    left = info.size
    while source is not None and (piece := source.read(min(_CHUNK, left))):
        left -= len(piece)
        yield piece
    if left:
        raise EOFError(f"{info.name} is cut short")

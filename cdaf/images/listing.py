"""What a layer holds, entry by entry: sealed at package time, so that a release can say which file is another one."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from cdaf.errors import BundleError
from cdaf.images import tarform, zstd

if TYPE_CHECKING:
    import tarfile

_KINDS = {b"0": "file", b"2": "link", b"5": "dir"}
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1
_CHUNK = 1 << 20
_SHOWN = 5


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a layer's tar in its place; `crc` is the CRC-32 of a file's bytes, `time` in seconds."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    crc: int
    time: int = tarform.TIME


class _Head(msgspec.Struct, frozen=True):
    layer: str
    entries: int


def encode(layers: Iterable[tuple[str, bytes]]) -> bytes:
    """A bundle's listing of one image: JSON lines, for each layer its name and number of entries, then the entries."""
    heads = ((_Head(name, rows.count(b"\n")), rows) for name, rows in layers)
    return b"".join(msgspec.json.encode(head) + b"\n" + rows for head, rows in heads)


def lines(rows: Iterable[Row]) -> bytes:
    """A layer's own rows, a line each."""
    return msgspec.json.Encoder().encode_lines(rows)


def decode(data: bytes) -> tuple[tuple[Row, ...], ...]:
    """The rows of each layer, in the order of layers. Raises BundleError when it is no listing."""
    found: list[tuple[Row, ...]] = []
    rows = iter(data.splitlines())
    try:
        for line in rows:
            head = msgspec.json.decode(line, type=_Head)
            found.append(tuple([msgspec.json.decode(next(rows), type=Row) for _ in range(head.entries)]))
    except (msgspec.MsgspecError, StopIteration) as error:
        raise BundleError(f"a listing of layers that cannot be read: {error}", "package the service again") from error
    return tuple(found)


def read(blob: Path) -> tuple[Row, ...]:
    """What a layer that was written really holds, by another reader than its writer."""
    import tarfile

    with blob.open("rb") as raw:
        if raw.read(4) != _ZSTD:
            with tarfile.open(blob) as archive:
                return tuple(_row(archive, each) for each in archive)
        raw.seek(0)
        with tarfile.open(fileobj=zstd.inflated(raw), mode="r|") as archive:
            return tuple(_row(archive, each) for each in archive)


def _row(archive: "tarfile.TarFile", entry: "tarfile.TarInfo") -> Row:
    kind = _KINDS.get(entry.type, "other")
    file = archive.extractfile(entry) if entry.isfile() else None
    crc = _crc(file) if file else 0
    told = entry.uid, entry.gid, entry.size, entry.linkname, crc, int(entry.mtime)
    return Row(entry.name, kind, entry.mode, *told)


def _crc(file: IO[bytes]) -> int:
    crc = 0
    while piece := file.read(_CHUNK):
        crc = zlib.crc32(piece, crc)
    return crc


def differences(promised: Iterable[Row], made: Iterable[Row]) -> list[str]:
    """Which entries differ, and in what; those beyond the first few are only counted."""
    old, new = {row.path: row for row in promised}, {row.path: row for row in made}
    found = list(_differences(old, new))
    if not found and list(old) != list(new):
        first = next(path for path, other in zip(old, new, strict=True) if path != other)
        found.append(f"the order of its entries, from /{first} on")
    more = len(found) - _SHOWN
    return found[:_SHOWN] + ([f"{more} more"] if more > 0 else [])


def _differences(old: Mapping[str, Row], new: Mapping[str, Row]) -> Iterator[str]:
    for path in sorted({*old, *new}):
        if path not in new:
            yield f"/{path} is missing"
        elif path not in old:
            yield f"/{path} is more than was foretold"
        elif why := _why(old[path], new[path]):
            yield f"/{path} has another {' and '.join(why)}"


def _why(old: Row, new: Row) -> list[str]:
    code = "bytecode" if old.path.endswith(".pyc") else "content"
    told = {
        "kind": (old.kind, new.kind),
        "mode": (f"{old.mode:04o}", f"{new.mode:04o}"),
        "owner": (f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}"),
        "time": (old.time, new.time),
        "target": (old.target, new.target),
        code: ((old.size, old.crc), (new.size, new.crc)),
    }
    shown = {name: f" ({one} foretold, {other} made)" for name, (one, other) in told.items() if name != code}
    return [f"{name}{shown.get(name, '')}" for name, (one, other) in told.items() if one != other]

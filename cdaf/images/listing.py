"""What a layer holds, entry by entry: sealed at package time, so that a release can say which file is another one."""

import posixpath
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from cdaf import typed
from cdaf.errors import BundleError
from cdaf.images import tarform, zstd

if TYPE_CHECKING:
    import tarfile

_KINDS = {
    b"0": "file",
    b"\0": "file",
    b"1": "hard link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "dir",
    b"6": "pipe",
}
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_CHUNK = 1 << 20
_SHOWN = 5
_FAR = 253402300800  # the year 10000


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
            head = typed.decode(line, _Head)
            found.append(tuple([typed.decode(next(rows), Row) for _ in range(head.entries)]))
    except (msgspec.MsgspecError, RecursionError, StopIteration) as error:
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


def plain(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same entries with paths as our layers write them: others begin theirs with `./` or `/`."""
    named = ((posixpath.normpath(f"/{row.path}").strip("/"), row) for row in rows)
    return tuple(msgspec.structs.replace(row, path=path) for path, row in named if path)


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


def is_mark(path: str) -> bool:
    """Whether an entry only takes away what lower layers hold (OCI image-spec, layer.md, whiteouts)."""
    return path.rpartition("/")[2].startswith(_WHITEOUT)


def hidden(path: str, paths: Iterable[str]) -> list[str]:
    """Those of the paths that an entry takes away: what its mark names, or all in the folder of an opaque one."""
    folder, _, name = path.rpartition("/")
    if not name.startswith(_WHITEOUT):
        return []
    if name == _OPAQUE:
        return [each for each in paths if each.startswith(f"{folder}/") or not folder]
    gone = f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
    return [each for each in paths if each == gone or each.startswith(f"{gone}/")]


def above(paths: Iterable[str]) -> dict[str, str]:
    """Every folder on the way to one of the paths, with the first path below it."""
    found: dict[str, str] = {}
    for path in paths:
        for folder in folders(path):
            if folder in found:
                break
            found[folder] = path
    return found


def stacked(paths: Collection[str]) -> list[str]:
    """What is wrong with files of which some would stand below others."""
    return [f"{path} is a file, and {below} stands below it" for path, below in above(paths).items() if path in paths]


def folders(path: str) -> Iterator[str]:
    """The folders on the way to a path, the deepest first."""
    while path := path.rpartition("/")[0]:
        yield path


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
    found = differing(old, new)
    shown = {name: f" ({one} foretold, {other} made)" for name, (one, other) in found.items() if name != "content"}
    return [f"{code if name == 'content' else name}{shown.get(name, '')}" for name in found]


def differing(old: Row, new: Row) -> dict[str, tuple[str, str]]:
    """In what two entries differ: kind, mode, owner, time, target or content, each before and after."""
    if old == new:
        return {}
    before, after = facets(old), facets(new)
    # A link has no content and a file no target: where the kind is another, that says it all.
    told = [name for name in before if old.kind == new.kind or name not in ("target", "content")]
    return {name: (before[name], after[name]) for name in told if before[name] != after[name]}


def facets(row: Row) -> dict[str, str]:
    """What can be told of an entry."""
    return {
        "kind": row.kind,
        "mode": f"{row.mode:04o}",
        "owner": f"{row.uid}:{row.gid}",
        "time": _when(row.time),
        "target": row.target,
        "content": f"{row.size} B, CRC {row.crc:08x}" if row.kind == "file" else "",
    }


def _when(seconds: int) -> str:
    from datetime import UTC, datetime, timedelta

    if not 0 <= seconds < _FAR:
        return f"{seconds} s"
    return f"{datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"

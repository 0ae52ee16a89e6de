"""One layer of the plan as a tar: its entries in order of path, written straight from the bundle's archives."""

import errno
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache, partial
from typing import IO, Any

import msgspec

from cdaf.errors import BundleError, CdafError, ImageError, faults
from cdaf.images import content, listing, plan, tarform, wheelzip
from cdaf.images.coder import Stream
from cdaf.images.content import Contents, Reader
from cdaf.images.tarform import Header

_LONGEST, _LONGEST_NAME, _SHOWN = 4095, 255, 60  # characters of a path, bytes of a name (Linux' limits.h)
GEM = ".gem"  # a tar whose files are an archive in it (RubyGems' Gem::Package)
_MODES, _OWNERS = 0o7777, 0o7777777  # the most that a ustar header has room for
_ASTRAY = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")  # an empty part, or one that names no file but a way
Writer = Callable[[Stream], int]  # writes a file's bytes, and tells their CRC-32


class Item(msgspec.Struct, frozen=True):
    """One path of a layer: its header, the writer of its bytes, and where it came from, for people."""

    header: Header
    origin: str
    write: Writer | None = None


def write(
    layer: plan.Layer, contents: Contents, dirs: Mapping[str, plan.Dir], stream: Stream
) -> tuple[listing.Row, ...]:
    """Write the layer's tar to `stream`, and list what it holds.

    `dirs` are the folders that any layer of the image declares, so that a folder on the way keeps its owner and mode.
    Raises ImageError with all faults: two owners of a path, a path that escapes.
    """
    with ExitStack() as opened:
        found: list[str] = []
        items = _by_path(_items(layer, contents, opened, found), found)
        if found:
            raise ImageError(faults(f"layer {layer.name}", found), "package the service again")
        rows = tuple(_write(item, stream) for item in _with_parents(items, dirs))
        stream.plain(tarform.END)
        return rows


def _write(item: Item, stream: Stream) -> listing.Row:
    header, crc = item.header, 0
    stream.plain(tarform.encode(header))
    if item.write is not None:
        crc = item.write(stream)
        stream.plain(tarform.padding(header.size))
    return listing.Row(header.path, header.kind, header.mode, header.uid, header.gid, header.size, header.target, crc)


def paths(layer: plan.Layer, contents: Contents, dirs: Mapping[str, plan.Dir]) -> list[tuple[Header, str]]:
    """Every entry of the layer in order, with the member (and the name within it) that it comes from."""
    with ExitStack() as opened:
        items = _by_path(_items(layer, contents, opened, []), [])
        return [(item.header, item.origin) for item in _with_parents(items, dirs)]


def _items(layer: plan.Layer, contents: Contents, opened: ExitStack, found: list[str]) -> Iterator[Item]:
    held: Callable[[], Any] = cache(lambda: opened.enter_context(_scratch()))
    for entry in layer.entries:
        if isinstance(entry, plan.Unpack):
            yield from _unpacked(entry, contents, opened, held, found)
        elif isinstance(entry, plan.Place):
            yield _placed(entry, contents)
        elif isinstance(entry, plan.Link):
            yield Item(Header(entry.path.lstrip("/"), "link", 0o777, target=entry.target), "link")
        else:
            yield Item(Header(entry.path.lstrip("/"), "dir", entry.mode, uid=entry.uid, gid=entry.gid), "folder")


def _placed(entry: plan.Place, contents: Contents) -> Item:
    source = contents[entry.member]

    def copy(stream: Stream) -> int:
        return _stored(stream, content.chunks(source))[0]

    return Item(Header(entry.path.lstrip("/"), "file", entry.mode, source.size), entry.member, copy)


def _unpacked(
    entry: plan.Unpack, contents: Contents, opened: ExitStack, held: Callable[[], IO[bytes]], found: list[str]
) -> Iterator[Item]:
    try:
        reader = opened.enter_context(content.reading(contents[entry.archive]))
        items = _untarred(entry, reader, held()) if _is_tar(reader) else _unzipped(entry, reader)
        yield from list(items)
    except BundleError:
        raise
    except (CdafError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        found.append(f"{entry.archive}: {error}")


def _unzipped(entry: plan.Unpack, reader: Reader) -> Iterator[Item]:
    skipped = frozenset(entry.skip)
    for member in wheelzip.entries(reader):
        if member.name not in skipped:
            header = _header(entry, member.name, member.size, member.executable)
            yield Item(header, f"{entry.archive}!{member.name}", _splicing(reader, member, entry.archive))


def _is_tar(reader: Reader) -> bool:
    """Whether an archive is a tar or a gzip, as far as its first bytes tell."""
    head = reader.at(0, 512)
    return head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar"


def _scratch() -> Any:
    from cdaf.images import tarread  # tarfile takes as long to import as all else here

    return tarread.scratch()


def _untarred(entry: plan.Unpack, reader: Reader, held: IO[bytes]) -> Iterator[Item]:
    from cdaf.images import tarread

    def copy(stream: Stream, member: tarread.Member) -> int:
        return _stored(stream, tarread.pieces(member, held))[0]

    skipped = frozenset(entry.skip)
    if entry.archive.endswith(GEM):
        reader = tarread.inner(reader, "data.tar.gz")
    for member in tarread.members(reader, held):
        if member.name in skipped:
            continue
        header, origin = _header(entry, member.name, member.size, member.executable), f"{entry.archive}!{member.name}"
        if member.target:
            yield Item(Header(header.path, "link", 0o777, target=member.target), origin)
        else:
            yield Item(header, origin, partial(copy, member=member))


def _header(entry: plan.Unpack, name: str, size: int, executable: bool) -> Header:
    path, mode = destination(entry, name)
    return Header(path.lstrip("/"), "file", mode or (0o755 if executable else 0o644), size)


def destination(entry: plan.Unpack, name: str) -> tuple[str, int | None]:
    """Where a member of an archive goes, and the mode that a rewrite gives it."""
    for rewrite in entry.rewrites:
        if name == rewrite.source:
            return rewrite.target, rewrite.mode
        source = rewrite.source.rstrip("/") + "/"
        if name.startswith(source):
            return f"{rewrite.target.rstrip('/')}/{name[len(source) :]}", rewrite.mode
    kept = name.split("/", entry.strip)[-1] if entry.strip else name
    return f"{entry.prefix.rstrip('/')}/{kept}", None


def _splicing(reader: Reader, member: wheelzip.Entry, archive: str) -> Writer:

    def copy(stream: Stream) -> tuple[int, int]:
        if not (stream.splices and member.method == wheelzip.DEFLATED):
            return _stored(stream, wheelzip.contents(reader, member))
        pieces = wheelzip.raw(reader, member)
        known = not stream.diffing and not _may_hide(member)
        return _as_it_is(stream, pieces, member) if known else _deflated(stream, pieces)

    def write(stream: Stream) -> int:
        try:
            told = copy(stream)
        except ImageError as error:
            raise ImageError(f"{archive}: {member.name}: {error.message}", "package the service again") from error
        if told != (member.crc, member.size):
            raise ImageError(f"{archive}: {member.name} holds other bytes than the archive says")
        return told[0]

    return write


def _stored(stream: Stream, pieces: Iterator[bytes]) -> tuple[int, int]:
    crc = size = 0
    for piece in pieces:
        stream.plain(piece)
        crc, size = zlib.crc32(piece, crc), size + len(piece)
    return crc, size


def _deflated(stream: Stream, pieces: Iterator[bytes]) -> tuple[int, int]:
    crc = size = 0
    stream.begin()
    for piece, data in wheelzip.inflate(pieces):
        stream.spliced(piece)
        stream.inflated(data)
        crc, size = zlib.crc32(data, crc), size + len(data)
    stream.end(crc, size)
    return crc, size


def _may_hide(member: wheelzip.Entry) -> bool:
    """Whether the stream is long enough to inflate to 4 GiB more than it says: gzip's own size would not tell.

    Deflate makes at most 1,032 bytes of one (RFC 1951).
    """
    return member.compressed * 1032 >= member.size + (1 << 32)


def _as_it_is(stream: Stream, pieces: Iterator[bytes], member: wheelzip.Entry) -> tuple[int, int]:
    """What was inflated and held against its checksum when the layer was foretold need not be so again."""
    stream.begin()
    for piece in pieces:
        stream.spliced(piece)
    stream.end(member.crc, member.size)
    return member.crc, member.size


def _by_path(items: Iterator[Item], found: list[str]) -> dict[str, Item]:
    placed: dict[str, Item] = {}
    for item in items:
        path = item.header.path
        if wrong := _odd(item.header):
            found.append(f"{_shown(item.origin[: _SHOWN * 4])} {wrong}")
        elif path in placed and not item.header.kind == placed[path].header.kind == "dir":
            found.append(f"{placed[path].origin} and {item.origin} both place /{path}")
        placed.setdefault(path, item)
    for parent, path in listing.above(placed).items():
        above = placed.get(parent)
        if above is not None and above.header.kind != "dir":
            found.append(f"{above.origin} places a file at /{parent}, and /{path} stands below it")
    return placed


def _odd(header: Header) -> str:
    """Why no image has such an entry, or nothing: what a kernel refuses, or a header has no room for."""
    path = header.path
    is_long = len(path) > _LONGEST_NAME or not path.isascii()
    if is_long and (len(path) > _LONGEST or any(len(_raw(part)) > _LONGEST_NAME for part in path.split("/"))):
        return f"would land at {_shown(path[:_SHOWN])}…, which is too long for any system"
    if _ASTRAY.search(path) or not _is_text(path):
        return f"would land at {path!r}, which no image has"
    if header.kind == "link" and not (0 < len(header.target) <= _LONGEST and _is_text(header.target)):
        return f"links /{path} to {header.target[:_SHOWN]!r}, which cannot be"
    if not 0 <= header.mode <= _MODES or not all(0 <= owner <= _OWNERS for owner in (header.uid, header.gid)):
        return f"gives /{path} mode {header.mode:o} and owner {header.uid}:{header.gid}, which cannot be"
    return ""


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _is_text(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text))


def _shown(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _with_parents(items: dict[str, Item], dirs: Mapping[str, plan.Dir]) -> list[Item]:
    whole = dict(items)
    for name in listing.above(items).keys() - whole.keys():
        told = dirs.get(name, plan.Dir(name))
        whole[name] = Item(Header(name, "dir", told.mode, uid=told.uid, gid=told.gid), "folder")
    return [whole[path] for path in sorted(whole, key=str.encode)]

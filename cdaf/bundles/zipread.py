"""Reads a zip's index, and says everything in which its bytes are not the canonical ones.

The reader is more tolerant than the format, so that one pass finds all faults; a file without faults has exactly the
bytes that `zipform` makes of its names, sizes and CRC-32s.
"""

import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from cdaf.bundles import zipform
from cdaf.bundles.zipform import CENTRAL, END, END64, LOCAL, LOCATOR, Entry

_LONGEST_COMMENT = 0xFFFF
_LOCAL_FIELDS = (
    *("signature", "version needed", "flags", "compression method", "time", "date", "CRC-32"),
    *("stored size", "size", "name's length", "extra field's length"),
)
_CENTRAL_FIELDS = (
    *("signature", "version made by", *_LOCAL_FIELDS[1:], "comment's length"),
    *("disk", "internal attributes", "mode", "offset"),
)


class Found(NamedTuple):
    """A member as it was found: its bytes are `size` from `data` on, and lie within the file."""

    name: str
    size: int
    crc: int
    data: int


class Index(NamedTuple):
    """What a zip holds, in its own order, and all that is wrong with its form."""

    members: tuple[Found, ...]
    faults: tuple[str, ...]


class _End(NamedTuple):
    members: int
    size: int
    offset: int
    position: int  # where the end records begin, and so the directory ends


def read_index(file: int, size: int) -> Index:
    """The members of a zip of `size` bytes, open for reading, and every fault of its form. Raises OSError alone."""
    faults: list[str] = []
    end = _find_end(file, size, faults)
    if end is None:
        return Index((), tuple(faults))
    start = end.position - end.size
    if start < 0:
        return Index((), (*faults, "the end record speaks of an index larger than the file"))
    if start != end.offset:
        faults.append(f"the index begins at byte {start}, and the end record says {end.offset}")
    entries = _read_directory(read(file, start, end.size), faults)
    faults += _end_faults(file, size, end, len(entries))
    faults += _order_faults([entry.name for entry in entries])
    faults += zipform.name_faults(entry.name for entry in entries)
    # Bytes put in front of a zip move all of it; its faults are then told once, not for each member.
    found = [_locate(file, entry, start - end.offset, start, faults) for entry in entries]
    faults += _gap_faults([member for member in found if member], entries, start)
    return Index(tuple(member for member, _ in filter(None, found)), tuple(faults))


def read(file: int, offset: int, size: int) -> bytes:
    """The bytes of a file from `offset` on, fewer than `size` where it ends before."""
    data = os.pread(file, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    while data and (missing := size - sum(map(len, parts))):
        data = os.pread(file, missing, offset + size - missing)
        parts.append(data)
    return b"".join(parts)


def _find_end(file: int, size: int, faults: list[str]) -> _End | None:
    reach = min(size, END.size + _LONGEST_COMMENT)
    tail = read(file, size - reach, reach)
    last = reach - END.size
    at = tail.rfind(zipform.END_SIGNATURE, 0, last + len(zipform.END_SIGNATURE)) if last >= 0 else -1
    if at < 0:
        is_zip = read(file, 0, 4) == zipform.LOCAL_SIGNATURE
        faults.append("it is cut short: it has no end record" if is_zip else "it is not a zip file")
        return None
    if after := last - at:
        faults.append(f"{after} bytes follow the end record")
    *_, count, directory, offset, _ = END.unpack_from(tail, at)
    position = size - reach + at
    wide = position - LOCATOR.size - END64.size
    records = read(file, wide, END64.size + LOCATOR.size) if wide >= 0 else b""
    if records[:4] == zipform.END64_SIGNATURE and records[END64.size :][:4] == zipform.LOCATOR_SIGNATURE:
        *_, count, directory, offset = END64.unpack_from(records)
        position = wide
    return _End(count, directory, offset, position)


def _end_faults(file: int, size: int, end: _End, count: int) -> list[str]:
    if end.members != count:
        return [f"the end record counts {end.members} members, and the index has {count}"]
    expected = zipform.end_records(count, end.size, end.position - end.size)
    found = read(file, end.position, size - end.position)
    return [] if found[: len(expected)] == expected else ["the end records are not the canonical ones"]


def _read_directory(raw: bytes, faults: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    at = 0
    while at < len(raw):
        if raw[at : at + 4] != zipform.CENTRAL_SIGNATURE or len(raw) - at < CENTRAL.size:
            faults.append(f"the index is damaged from its byte {at} on")
            break
        fields = CENTRAL.unpack_from(raw, at)
        name_end = at + CENTRAL.size + fields[10]
        extra_end = name_end + fields[11]
        end = extra_end + fields[12]
        name = raw[at + CENTRAL.size : name_end].decode("utf-8", "surrogateescape")
        _, size, offset = _widened(fields[9], fields[8], fields[16], extra=raw[name_end:extra_end])
        entry = Entry(name, size, fields[7], offset)
        expected = zipform.central_header(entry)
        if raw[at:end] != expected:
            faults += _differences(f"{zipform.shown(name)}: index", raw[at:end], expected, CENTRAL, _CENTRAL_FIELDS)
        entries.append(entry)
        at = end
    return entries


def _widened(*values: int, extra: bytes) -> list[int]:
    """Size, stored size and offset, those that are all ones taken from the zip64 extra field (APPNOTE 4.5.3)."""
    wide: list[int] = []
    if len(extra) >= 4 and extra[:2] == b"\1\0":
        length = min(struct.unpack_from("<H", extra, 2)[0], len(extra) - 4) // 8
        wide = list(struct.unpack_from(f"<{length}Q", extra, 4))
    return [wide.pop(0) if value == 0xFFFF_FFFF and wide else value for value in values]


def _locate(file: int, entry: Entry, shift: int, limit: int, faults: list[str]) -> tuple[Found, int] | None:
    """The member and where its header begins; None, and a fault, when it has no header or leaves the file."""
    name, at = zipform.shown(entry.name), entry.offset + shift
    expected = zipform.local_header(entry)
    found = read(file, at, len(expected)) if 0 <= at < limit else b""
    data = at + len(expected)
    if found != expected:
        if found[:4] != zipform.LOCAL_SIGNATURE or len(found) < LOCAL.size:
            faults.append(f"{name}: no header at byte {at}, where the index says")
            return None
        faults += _differences(f"{name}: header", found, expected, LOCAL, _LOCAL_FIELDS)
        data = at + LOCAL.size + sum(LOCAL.unpack_from(found)[9:])
    if data + entry.size > limit:
        faults.append(f"{name}: reaches into the index or beyond the file")
        return None
    return Found(entry.name, entry.size, entry.crc, data), at


def _differences(where: str, found: bytes, expected: bytes, shape: struct.Struct, fields: Sequence[str]) -> list[str]:
    if len(found) < shape.size:
        return [f"{where}: cut short"]
    pairs = zip(fields, shape.unpack_from(found), shape.unpack_from(expected), strict=True)
    differing = [f"{where}: {field} is {_hex(one)}, not {_hex(other)}" for field, one, other in pairs if one != other]
    return differing or [f"{where}: another name or extra field"]


def _hex(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else f"{value:#x}"


def _order_faults(names: list[str]) -> list[str]:
    raw = [zipform.raw(name) for name in names]
    return [] if raw == sorted(raw) else ["the index is not sorted by name"]


def _gap_faults(found: Sequence[tuple[Found, int]], entries: Sequence[Entry], limit: int) -> list[str]:
    """Bytes that belong to no member or to two, and members in another order than the index's."""
    faults: list[str] = []
    placed = sorted(found, key=lambda pair: pair[1])
    if [at for _, at in placed] != [at for _, at in found]:
        faults.append("the members lie in another order than the index says")
    end = 0
    for member, at in placed:
        if at != end:
            faults.append(f"{zipform.shown(member.name)}: {_gap(at - end)} before it")
        end = max(end, member.data + member.size)
    # A member that could not be located has its own fault, and leaves a gap.
    if end != limit and len(found) == len(entries):
        faults.append(f"{_gap(limit - end)} before the index")
    return faults


def _gap(size: int) -> str:
    return f"{size} bytes that belong to no member" if size > 0 else f"{-size} bytes that belong to two members"

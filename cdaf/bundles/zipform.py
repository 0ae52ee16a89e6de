"""The canonical zip: for given names and contents there is one sequence of bytes, and this module knows it.

Every header follows from (name, size, CRC-32, offset), so a reader rebuilds each of them and compares. The records are
those of PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16; docs/bundle-format.md says which values are ours.
Only the standard library is used: the bytes must not hang on anything that can be upgraded.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# From these values on a field says "see zip64" (APPNOTE 4.4.1.4): the largest value that it could hold is taken.
SIZE_LIMIT = 0xFFFF_FFFF
COUNT_LIMIT = 0xFFFF

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4s4H2IH")

LOCAL_SIGNATURE = b"PK\3\4"
CENTRAL_SIGNATURE = b"PK\1\2"
END64_SIGNATURE = b"PK\6\6"
LOCATOR_SIGNATURE = b"PK\6\7"
END_SIGNATURE = b"PK\5\6"

_UTF8 = 0x0800  # general purpose bit 11: the name is UTF-8
_DATE = 0x0021  # 1980-01-01 in MS-DOS form, the earliest there is
_PLAIN, _ZIP64 = 20, 45  # versions needed to extract (APPNOTE 4.4.3)
_UNIX = 3 << 8  # "made by" a Unix, so that the mode below means something
_MODE = 0o100644 << 16  # a regular file

_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")  # as nearly all names are


class Entry(NamedTuple):
    """One member; `offset` is that of its local header, in bytes from the start of the file."""

    name: str
    size: int
    crc: int
    offset: int

    @property
    def data(self) -> int:
        """Where the member's bytes begin."""
        return self.offset + header_size(self.name, self.size)

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return self.data + self.size


def raw(name: str) -> bytes:
    """A name as it stands in headers; names that were not UTF-8 survive being read, to be reported."""
    return name.encode("utf-8", "surrogateescape")


def shown(name: str) -> str:
    """A name fit for a message: control and other unprintable characters are escaped."""
    return name if name.isprintable() else ascii(name)


def header_size(name: str, size: int) -> int:
    """The length of a member's local header."""
    return LOCAL.size + len(raw(name)) + (20 if size >= SIZE_LIMIT else 0)


def local_header(entry: Entry) -> bytes:
    """The header in front of a member's bytes."""
    large = entry.size >= SIZE_LIMIT
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if large else b""
    size = 0xFFFF_FFFF if large else entry.size
    name = raw(entry.name)
    needed = _ZIP64 if large else _PLAIN
    fixed = LOCAL.pack(LOCAL_SIGNATURE, needed, _UTF8, 0, 0, _DATE, entry.crc, size, size, len(name), len(extra))
    return fixed + name + extra


def central_header(entry: Entry) -> bytes:
    """The member's line in the index (the central directory)."""
    large, far = entry.size >= SIZE_LIMIT, entry.offset >= SIZE_LIMIT
    wide = [entry.size, entry.size] * large + [entry.offset] * far
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size = 0xFFFF_FFFF if large else entry.size
    offset = 0xFFFF_FFFF if far else entry.offset
    needed = _ZIP64 if wide else _PLAIN
    name = raw(entry.name)
    before = (CENTRAL_SIGNATURE, _UNIX | needed, needed, _UTF8, 0, 0, _DATE, entry.crc, size, size)
    return CENTRAL.pack(*before, len(name), len(extra), 0, 0, 0, _MODE, offset) + name + extra


def end_records(count: int, size: int, offset: int) -> bytes:
    """What follows the index of `count` members, `size` bytes long at `offset`: the last bytes of the file."""
    large = count >= COUNT_LIMIT or size >= SIZE_LIMIT or offset >= SIZE_LIMIT
    wide = b""
    if large:
        wide = END64.pack(END64_SIGNATURE, 44, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, size, offset)
        wide += LOCATOR.pack(LOCATOR_SIGNATURE, 0, offset + size, 1)
    short = 0xFFFF if count >= COUNT_LIMIT else count
    size = 0xFFFF_FFFF if size >= SIZE_LIMIT else size
    offset = 0xFFFF_FFFF if offset >= SIZE_LIMIT else offset
    return wide + END.pack(END_SIGNATURE, 0, 0, short, short, size, offset, 0)


def index(entries: Sequence[Entry]) -> bytes:
    """Everything after the last member: the central directory and the end records."""
    directory = b"".join(map(central_header, entries))
    return directory + end_records(len(entries), len(directory), entries[-1].end if entries else 0)


def place(sizes: Mapping[str, int]) -> tuple[Entry, ...]:
    """Where each member goes: sorted by name, without gaps; the CRC-32 is still 0."""
    entries: list[Entry] = []
    offset = 0
    for name in sorted(sizes, key=raw):
        entries.append(Entry(name, sizes[name], 0, offset))
        offset = entries[-1].end
    return tuple(entries)


def is_zip64(entries: Sequence[Entry]) -> bool:
    """Whether the file needs zip64 records, which Python below 3.13 cannot run."""
    return len(entries) >= COUNT_LIMIT or any(entry.end >= SIZE_LIMIT for entry in entries[-1:])


def name_faults(names: Iterable[str]) -> list[str]:
    """Everything that is wrong with a set of members' names, each fault naming its member."""
    counted = Counter(names)
    folders = {name[:at] for name in counted for at, letter in enumerate(name) if letter == "/"}
    faults = [f"{shown(name)}: {fault}" for name in counted for fault in _faults_of(name)]
    faults += [f"{shown(name)}: there {times} times" for name, times in counted.items() if times > 1]
    return faults + [f"{shown(name)}: is a file and a folder at once" for name in counted if name in folders]


def _faults_of(name: str) -> list[str]:
    if _HARMLESS.fullmatch(name) and len(name) < 1 << 15:
        return []
    parts = name.split("/")
    checks = {
        "name is not UTF-8": any("\ud800" <= letter <= "\udfff" for letter in name),
        "name holds a control character": any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in name),
        "name holds a backslash": "\\" in name,
        "name is absolute": name.startswith("/"),
        "name escapes with '..'": ".." in parts,
        "name has an empty part or a '.'": "." in parts or "" in (parts[1:] if name.startswith("/") else parts),
        "name is longer than 65,535 bytes": len(name.encode("utf-8", "surrogatepass")) > 0xFFFF,
    }
    return [fault for fault, found in checks.items() if found]

"""Writing a zip whose members the pinned coder deflated, in one canonical form: layers take its streams as they stand.

The records are those of PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16; every value but names, sizes and checksums is
fixed.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

from cdaf.errors import ImageError
from cdaf.images import coder

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_NEEDED, _UNIX, _UTF8, _DEFLATED = 20, 3 << 8, 0x800, 8
_DATE = 0x0021  # 1980-01-01, the earliest there is
_MODE = 0o100644
_MOST, _LONGEST = 0xFFFF, 0xFFFFFFFF


def write(members: Iterable[tuple[str, bytes]], modes: Mapping[str, int] = {}) -> Iterator[bytes]:
    """The zip, piece by piece; `members` are names and bytes, and come sorted by name.

    `modes` are those of Unix, file type included, by name, where one is not that of a plain file.

    Raises ImageError when it would need zip64, which the reader of archives does not know.
    """
    index, at = bytearray(), 0
    count = 0
    for name, data in members:
        raw, packed = name.encode(), coder.deflated(data)
        facts = (_UTF8, _DEFLATED, 0, _DATE, zlib.crc32(data), len(packed), len(data), len(raw), 0)
        mode = modes.get(name, _MODE) << 16
        index += _CENTRAL.pack(b"PK\1\2", _UNIX | _NEEDED, _NEEDED, *facts, 0, 0, 0, mode, at) + raw
        header = _LOCAL.pack(b"PK\3\4", _NEEDED, *facts) + raw
        yield header
        yield packed
        at, count = at + len(header) + len(packed), count + 1
        if at >= _LONGEST or count >= _MOST:
            raise ImageError(f"{name}: too many files, or too large ones, for a zip without zip64")
    yield bytes(index) + _END.pack(b"PK\5\6", 0, 0, count, count, len(index), at, 0)

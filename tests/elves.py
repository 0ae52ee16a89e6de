"""ELF files of a few hundred bytes, made here: a header, a loaded segment, a dynamic section that asks for things."""

import struct
from collections.abc import Callable, Mapping, Sequence

FAR = 0x10000
MACHINES = {"amd64": 62, "arm64": 183, "386": 3, "s390x": 22}


def make(
    arch: str = "amd64",
    *,
    needed: Sequence[str] = ("libc.so.6",),
    versions: Mapping[str, Sequence[str]] = {},
    defined: Sequence[str] = (),
    weak: Mapping[str, Sequence[str]] = {},
    soname: str = "",
    runpath: str = "",
    interpreter: str = "",
    symbols: Sequence[str] = (),
    kind: int = 3,
) -> bytes:
    """An ELF file for one of `MACHINES`."""
    wide, order = arch != "386", ">" if arch == "s390x" else "<"
    strings = bytearray(b"\0")

    def name(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text.encode()) - 1

    for symbol in symbols:
        name(symbol)
    tags = [(1, name(each)) for each in needed]
    tags += [(14, name(soname))] if soname else []
    tags += [(29, name(runpath))] if runpath else []
    need, count = _needs(order, versions, weak, name)
    define = _definitions(order, defined, name)
    start = 0x200  # past the headers; addresses are offsets and a fixed distance
    blocks = {"strings": bytes(strings), "need": need, "define": define, "interp": interpreter.encode() + b"\0"}
    at, data = {}, bytearray()
    for key, block in blocks.items():
        at[key] = start + len(data)
        data += block + bytes(-len(block) % 8)
    tags += [(5, FAR + at["strings"]), (10, len(strings))]
    tags += [(0x6FFFFFFE, FAR + at["need"]), (0x6FFFFFFF, count)] if count else []
    tags += [(0x6FFFFFFC, FAR + at["define"]), (0x6FFFFFFD, len(defined))] if defined else []
    dynamic = b"".join(struct.pack(f"{order}{'2Q' if wide else '2I'}", *tag) for tag in [*tags, (0, 0)])
    at["dynamic"] = start + len(data)
    total = at["dynamic"] + len(dynamic)
    headers = [(1, 0, total), (2, at["dynamic"], len(dynamic))]
    headers += [(3, at["interp"], len(interpreter) + 1)] if interpreter else []
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    if wide:
        head = struct.pack(f"{order}2HI3QI6H", kind, MACHINES[arch], 1, 0, 64, 0, 0, 64, 56, len(headers), 0, 0, 0)
        table = [struct.pack(f"{order}2I6Q", t, 4, o, FAR + o, 0, s, s, 8) for t, o, s in headers]
    else:
        head = struct.pack(f"{order}2HI3II6H", kind, MACHINES[arch], 1, 0, 52, 0, 0, 52, 32, len(headers), 0, 0, 0)
        table = [struct.pack(f"{order}8I", t, o, FAR + o, 0, s, s, 4, 8) for t, o, s in headers]
    top = ident + head + b"".join(table)
    return top + bytes(start - len(top)) + bytes(data) + dynamic


def _needs(
    order: str, versions: Mapping[str, Sequence[str]], weak: Mapping[str, Sequence[str]], name: Callable[[str], int]
) -> tuple[bytes, int]:
    rows = [
        (file, [(each, 0) for each in versions.get(file, ())] + [(each, 2) for each in weak.get(file, ())])
        for file in dict.fromkeys([*versions, *weak])
    ]
    out = b""
    for number, (file, wanted) in enumerate(rows):
        size = 16 + 16 * len(wanted)
        out += struct.pack(f"{order}2H3I", 1, len(wanted), name(file), 16, 0 if number == len(rows) - 1 else size)
        for place, (version, flags) in enumerate(wanted):
            following = 0 if place == len(wanted) - 1 else 16
            out += struct.pack(f"{order}I2H2I", 0, flags, place + 2, name(version), following)
    return out, len(rows)


def _definitions(order: str, defined: Sequence[str], name: Callable[[str], int]) -> bytes:
    out = b""
    for number, version in enumerate(defined):
        following = 0 if number == len(defined) - 1 else 28
        out += struct.pack(f"{order}4H3I", 1, 0, number + 2, 1, 0, 20, following) + struct.pack(
            f"{order}2I", name(version), 0
        )
    return out

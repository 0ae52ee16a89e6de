"""What an ELF file asks of the system that loads it: CPU, libc, libraries and their symbol versions (gABI, chapter 5).

It is read as the dynamic linker reads it, by the program headers: section headers may have been stripped. Positions
and counts come from the file, so every walk is bounded; what does not add up is a fault of the file.
"""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import msgspec

from cdaf import store

MAGIC = b"\x7fELF"
EXECUTABLE, SHARED = 2, 3  # e_type; the others (object files, core dumps) are loaded by nobody
At = Callable[[int, int], bytes]  # offset and size to bytes, fewer at the file's end

_LOAD, _DYNAMIC, _INTERP = 1, 2, 3  # p_type
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29  # d_tag
_VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_BASE, _WEAK = 1, 2  # vd_flags, vna_flags
_MOST = 4096  # program headers, tags or versions of one file; real ones have hundreds at most
_LONGEST = 4096  # bytes of a name or a search path
_CHUNK = 1 << 20
_IN_MEMORY = 1 << 22
# e_machine, bits, whether little-endian: of the architectures of the OCI image index.
_MACHINES = {
    "amd64": (62, 64, True),
    "386": (3, 32, True),
    "arm64": (183, 64, True),
    "arm": (40, 32, True),
    "ppc64le": (21, 64, True),
    "s390x": (22, 64, False),
    "riscv64": (243, 64, True),
    "loong64": (258, 64, True),
}


class Elf(msgspec.Struct, frozen=True, omit_defaults=True):
    """An ELF file's demands. `machine`, `bits` and `little` are its CPU, `kind` its e_type.

    `versions` are the symbol versions it needs, by library; `defined` those it has itself; `search` the folders of its
    DT_RUNPATH, or else DT_RPATH; `marked` says whether the name that the reader looked for is among its symbols'.
    """

    machine: int
    bits: int
    little: bool
    kind: int
    interpreter: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    versions: dict[str, tuple[str, ...]] = {}
    defined: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    marked: bool = False
    fault: str = ""


class _Image(msgspec.Struct):
    """An open file, and what of it is mapped where: (address, offset, size) of each loaded segment."""

    at: At
    order: str
    bits: int
    loads: list[tuple[int, int, int]]


def read(at: At, mark: str = "") -> Elf | None:
    """The demands of a file, None for one of another format; one that is damaged has a `fault`.

    `mark` is a symbol to look for, such as the one by which an interpreter enters an extension.
    """
    head = at(0, 64)
    if not head.startswith(MAGIC):
        return None
    if len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return Elf(0, 0, True, 0, fault="its header is damaged")
    order, bits = "<" if head[5] == 1 else ">", 64 if head[4] == 2 else 32
    kind, machine = struct.unpack_from(f"{order}2H", head, 16)
    plain = Elf(machine, bits, order == "<", kind)
    if kind not in (EXECUTABLE, SHARED):
        return plain
    try:
        return _demands(_Image(at, order, bits, []), head, plain, mark)
    except (struct.error, ValueError) as error:
        return msgspec.structs.replace(plain, fault=f"it is damaged: {error}")


def of_bytes(data: bytes, mark: str = "") -> Elf | None:
    """The demands of a file in memory."""
    return read(lambda offset, size: data[offset : offset + size], mark)


def fits(found: Elf, platform: str) -> bool:
    """Whether a CPU of this platform ("linux/arm64") runs it; True for a platform that is not known here."""
    own = _MACHINES.get(platform.split("/")[1])
    return own is None or own == (found.machine, found.bits, found.little)


def cpu(found: Elf) -> str:
    """The file's CPU as the OCI image index names it, or by number."""
    row = (found.machine, found.bits, found.little)
    return next((name for name, own in _MACHINES.items() if own == row), f"CPU {found.machine} of {found.bits} bits")


def _demands(image: _Image, head: bytes, plain: Elf, mark: str) -> Elf:
    interpreter, dynamic = "", None
    for kind, offset, address, size in _segments(image, head):
        if kind == _LOAD:
            image.loads.append((address, offset, size))
        elif kind == _DYNAMIC:
            dynamic = (offset, size)
        elif kind == _INTERP:
            interpreter = _text(_exact(image, offset, min(size, _LONGEST)))
    if dynamic is None:
        return msgspec.structs.replace(plain, interpreter=interpreter)
    tags = _tags(image, *dynamic)
    single = {tag: value for tag, value in tags if tag != _NEEDED}
    strings, length = _offset(image, single.get(_STRTAB, 0)), single.get(_STRSZ, 0)

    def name(index: int) -> str:
        if index >= length:
            raise ValueError("a name lies outside its string table")
        return _text(image.at(strings + index, min(_LONGEST, length - index)))

    path = single.get(_RUNPATH, single.get(_RPATH))
    return msgspec.structs.replace(
        plain,
        interpreter=interpreter,
        soname=name(single[_SONAME]) if _SONAME in single else "",
        needed=tuple(dict.fromkeys(name(value) for tag, value in tags if tag == _NEEDED)),
        versions=_needed_versions(image, single, name),
        defined=_defined_versions(image, single, name),
        search=tuple(part for part in name(path).split(":") if part) if path is not None else (),
        marked=bool(mark) and _holds(image, strings, length, b"\0" + mark.encode() + b"\0"),
    )


def _exact(image: _Image, offset: int, size: int) -> bytes:
    data = image.at(offset, size)
    if len(data) < size:
        raise ValueError("it ends early")
    return data


def _text(data: bytes) -> str:
    raw, end, _ = data.partition(b"\0")
    if not end:
        raise ValueError("a name does not end")
    return raw.decode("utf-8", "backslashreplace")


def _segments(image: _Image, head: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The program headers: type, offset, address and size in the file."""
    wide = image.bits == 64
    start = struct.unpack_from(f"{image.order}{'Q' if wide else 'I'}", head, 32 if wide else 28)[0]
    size, count = struct.unpack_from(f"{image.order}2H", head, 54 if wide else 42)
    form = struct.Struct(f"{image.order}{'2I4Q' if wide else '5I'}")
    if count > _MOST or (count and size != (56 if wide else 32)):
        raise ValueError("its program headers cannot be")
    table = _exact(image, start, size * count)
    for number in range(count):
        row = form.unpack_from(table, number * size)
        yield (row[0], row[2], row[3], row[5]) if wide else (row[0], row[1], row[2], row[4])


def _offset(image: _Image, address: int) -> int:
    for start, offset, size in image.loads:
        if start <= address < start + size:
            return offset + address - start
    raise ValueError("an address lies in no segment")


def _tags(image: _Image, offset: int, size: int) -> list[tuple[int, int]]:
    form = struct.Struct(f"{image.order}{'2Q' if image.bits == 64 else '2I'}")
    table = _exact(image, offset, min(size - size % form.size, _MOST * form.size))
    found = []
    for tag, value in form.iter_unpack(table):
        if tag == 0:
            break
        found.append((tag, value))
    return found


def _chain(image: _Image, start: int, count: int, form: str, following: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Rows that each say how far away the next one is, and where each stands; `following` is that field's place."""
    row = struct.Struct(image.order + form)
    for _ in range(min(count, _MOST)):
        fields = row.unpack(_exact(image, start, row.size))
        yield start, fields
        if not fields[following]:
            break
        start += fields[following]


def _needed_versions(image: _Image, tags: dict[int, int], name: Callable[[int], str]) -> dict[str, tuple[str, ...]]:
    """The versions without which the dynamic linker refuses the file, by library; weak ones it only warns of."""
    if _VERNEED not in tags:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    left = _MOST
    for start, (_, count, file, inner, _) in _chain(
        image, _offset(image, tags[_VERNEED]), tags.get(_VERNEEDNUM, 0), "2H3I", 4
    ):
        rows = list(_chain(image, start + inner, min(count, left), "I2H2I", 4))
        left -= len(rows)
        versions = (name(row[3]) for _, row in rows if not row[1] & _WEAK)
        found[name(file)] = tuple(sorted({*found.get(name(file), ()), *versions}))
    return found


def _defined_versions(image: _Image, tags: dict[int, int], name: Callable[[int], str]) -> tuple[str, ...]:
    if _VERDEF not in tags:
        return ()
    found = set()
    for start, row in _chain(image, _offset(image, tags[_VERDEF]), tags.get(_VERDEFNUM, 0), "4H3I", 6):
        if not row[1] & _BASE and row[3]:
            inner = struct.unpack(f"{image.order}I", _exact(image, start + row[5], 4))[0]
            found.add(name(inner))
    return tuple(sorted(found))


def _holds(image: _Image, start: int, length: int, wanted: bytes) -> bool:
    """Whether a string table holds a name; it starts with an empty one, so that every name has a zero before it."""
    kept = b""
    for offset in range(start, start + length, _CHUNK):
        data = image.at(offset, min(_CHUNK, start + length - offset))
        if not data:
            break
        if wanted in kept + data:
            return True
        kept = data[1 - len(wanted) :]
    return False


def passing(pieces: Iterator[bytes], size: int, mark: str, found: list[Elf]) -> Iterator[bytes]:
    """The same pieces of a file of `size` bytes; were they ELF, its demands are in `found` once all have passed.

    So an archive's member is inflated once for whoever reads it; a large one waits on disk, not in memory.
    """
    first = next(pieces, b"")
    if not first.startswith(MAGIC):
        yield first
        yield from pieces
        return
    with store.writing("native") if size > _IN_MEMORY else nullcontext((io.BytesIO(), None)) as (file, _):
        file.write(first)
        yield first
        for piece in pieces:
            file.write(piece)
            yield piece

        end = file.tell()

        def at(offset: int, length: int) -> bytes:
            file.seek(min(offset, end))  # it is the file's own word, and may be beyond what a file can be
            return file.read(length)

        if elf := read(at, mark):
            found.append(elf)

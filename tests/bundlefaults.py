"""Every kind of fault that a bundle can have, each made by hand: name, bytes, and what `bundle.open` must say."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO

from cdaf.bundles import manifest as manifests
from cdaf.images import plan
from tests.bundlekit import Piece, manifest, members, pieces, plans, sums, zipped

METHOD, TIME, DATE, CRC, STORED, SIZE = 3, 4, 5, 6, 7, 8  # fields of a local header; in the index each is one further
FLAGS = 2


def changed(name: str, **changes: object) -> bytes:
    """The bundle with one member's piece changed."""
    return zipped([replace(one, **changes) if one.name == name.encode() else one for one in pieces(members())])  # type: ignore[arg-type]


def with_names(*names: bytes) -> bytes:
    """The bundle with further members, listed and sorted as if there were nothing wrong with their names."""
    return zipped(_sorted({name.encode(): data for name, data in members().items()} | dict.fromkeys(names, b"x")))


def _sorted(content: Mapping[bytes, bytes]) -> list[Piece]:
    lines = [hashlib.sha256(data).hexdigest().encode() + b"  " + name + b"\n" for name, data in content.items()]
    lines.sort(key=lambda line: line[66:])
    complete = {**content, b"SHA256SUMS": b"".join(lines)}
    return [Piece(name, complete[name]) for name in sorted(complete)]


def holding(**replaced: bytes) -> bytes:
    """The bundle with other bytes in a member of its own, SHA256SUMS agreeing: sealed wrong, not damaged."""
    names = {"manifest": "manifest.toml", "plan": "plan.json"}
    return zipped(pieces(members() | {names[key]: data for key, data in replaced.items()}))


def with_sums(data: Callable[[bytes], bytes]) -> bytes:
    """The bundle with another SHA256SUMS."""
    return zipped([replace(p, data=data(p.data)) if p.name == b"SHA256SUMS" else p for p in pieces(members())])


def without(*names: str) -> bytes:
    """The bundle without members, SHA256SUMS still listing them."""
    return zipped([one for one in pieces(members()) if one.name.decode() not in names])


def deflated() -> bytes:
    """What an ordinary zip tool makes of a bundle's files."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for one in pieces(members()):
            made.writestr(one.name.decode(), one.data)
    return out.getvalue()


def _compressed(name: str) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = members()[name]
    packed = coder.compress(data) + coder.flush()
    fields = {METHOD: 8, CRC: zlib.crc32(data), STORED: len(packed), SIZE: len(data)}
    return changed(name, data=packed, local=fields, central={place + 1: value for place, value in fields.items()})


def _described(name: str) -> bytes:
    data = members()[name]
    descriptor = struct.pack("<4s3I", b"PK\7\10", zlib.crc32(data), len(data), len(data))
    parts = pieces(members())
    at = next(place for place, one in enumerate(parts) if one.name == name.encode())
    parts[at].local = {FLAGS: 0x808, CRC: 0, STORED: 0, SIZE: 0}
    parts[at].central = {FLAGS + 1: 0x808}
    parts[at + 1].before = descriptor
    return zipped(parts)


def _swapped_bytes() -> bytes:
    """Members in another order in the file, though sorted in the index."""
    parts = pieces(members())
    parts[2], parts[3] = parts[3], parts[2]
    return zipped(parts, index_order=lambda index: sorted(index, key=lambda line: line[46:]))


def _overlapping() -> bytes:
    """One member's header inside the bytes of another."""
    inner = zipped([Piece(b"app/inner", b"x")])[: 30 + 9 + 1]
    content = members() | {"app/inner": b"x", "app/outer": b"...." + inner}
    parts = [one for one in pieces(content) if one.name != b"app/inner"]
    whole = zipped(parts)
    inside = whole.index(inner)
    index_at = whole.index(b"PK\1\2")
    fields = (b"PK\1\2", 0x314, 20, 0x800, 0, 0, 0x21, zlib.crc32(b"x"), 1, 1, 9, 0, 0, 0, 0, 0o100644 << 16, inside)
    line = struct.pack("<4s6H3I5H2I", *fields) + b"app/inner"
    after = index_at
    while not whole[after + 46 :].startswith(b"app/orders.py"):
        after = whole.index(b"PK\1\2", after + 1)
    directory = whole[index_at:after] + line + whole[after:-22]
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(parts) + 1, len(parts) + 1, len(directory), index_at, 0)
    return whole[:index_at] + directory + end


def _zip64_member() -> bytes:
    data = members()["app/orders.py"]
    wide = struct.pack("<2H2Q", 1, 16, len(data), len(data))
    short = {STORED: 0xFFFFFFFF, SIZE: 0xFFFFFFFF}
    central = {place + 1: value for place, value in short.items()}
    return changed("app/orders.py", local=short, central=central, local_extra=wide, central_extra=wide)


def _data_changed(name: str) -> bytes:
    whole = zipped(pieces(members()))
    at = whole.index(members()[name])
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


def _manifest(old: bytes, new: bytes) -> bytes:
    data = manifests.encode(manifest())
    assert old in data
    return holding(manifest=data.replace(old, new))


def _plan(old: bytes, new: bytes) -> bytes:
    data = plan.encode(plans())
    assert old in data
    return holding(plan=data.replace(old, new))


def _duplicate(data: bytes) -> bytes:
    parts = pieces(members())
    at = next(place for place, one in enumerate(parts) if one.name == b"app/orders.py")
    return zipped([*parts[:at], Piece(b"app/orders.py", data), *parts[at:]])


EXTRA = struct.pack("<2H4s", 0x7075, 4, b"UTF8")
ORDERS = "app/orders.py"
WHOLE = zipped(pieces(members()))

# Beside each: a part of what is said. What only cdaf can tell, which knows the types of manifest and plan, is below.
FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a zip"),
    "text": (b"Hello, I am a text file." * 9, "not a zip"),
    "cut short": (WHOLE[: len(WHOLE) // 2], "cut short"),
    "cut short by one byte": (WHOLE[:-1], "cut short"),
    "empty zip": (zipped([]), "manifest.toml: missing"),
    "by a zip tool": (deflated(), "compression method is 0x8"),
    "byte after the end": (WHOLE + b"\n", "1 bytes follow"),
    "second zip after the end": (WHOLE + WHOLE, ""),
    "comment": (zipped(pieces(members()), end={7: 3}, after=b"hey"), "3 bytes follow"),
    "comment's length without comment": (zipped(pieces(members()), end={7: 3}), "end records"),
    "shebang in front": (b"#!/usr/bin/env python3\n" + WHOLE, "the index begins at byte"),
    "bytes in front, offsets adjusted": (
        zipped(pieces(members()), prefix=b"#!/bin/sh\n"),
        "10 bytes that belong to no",
    ),
    "gap between members": (changed(ORDERS, before=b"\0" * 5), "5 bytes that belong to no member"),
    "hidden member": (changed(ORDERS, before=zipped([Piece(b"app/hidden", b"x")])[:41]), "belong to no member"),
    "gap before the index": (zipped(pieces(members()), before_index=b"gap"), "3 bytes that belong to no member"),
    "overlap": (_overlapping(), "belong to two members"),
    "members in another order": (_swapped_bytes(), "in another order"),
    "index in another order": (
        zipped(pieces(members()), index_order=lambda index: [*index[:2], index[3], index[2], *index[4:]]),
        "not sorted",
    ),
    "all unsorted": (zipped(pieces(members())[::-1]), "not sorted"),
    "compressed member": (_compressed("plan.json"), "compression method is 0x8"),
    "data descriptor": (_described(ORDERS), "flags is 0x808"),
    "encrypted": (changed(ORDERS, local={FLAGS: 0x801}, central={FLAGS + 1: 0x801}), "flags is 0x801"),
    "without the UTF-8 flag": (changed(ORDERS, local={FLAGS: 0}, central={FLAGS + 1: 0}), "flags is 0x0"),
    "other date": (changed(ORDERS, local={DATE: 0x5B61}, central={DATE + 1: 0x5B61}), "date is 0x5b61"),
    "other time in the header alone": (changed(ORDERS, local={TIME: 1}), "header: time is 0x1"),
    "symbolic link": (changed(ORDERS, central={15: 0o120777 << 16}), "mode is"),
    "executable": (changed(ORDERS, central={15: 0o100755 << 16}), "mode is"),
    "made by another system": (changed(ORDERS, central={1: 0x14}), "version made by"),
    "another version needed": (changed(ORDERS, local={1: 10}), "version needed is 0xa"),
    "another disk": (changed(ORDERS, central={13: 1}), "disk is 0x1"),
    "internal attributes": (changed(ORDERS, central={14: 1}), "internal attributes"),
    "extra field in the header": (changed(ORDERS, local_extra=EXTRA), "extra field's length"),
    "extra field in the index": (changed(ORDERS, central_extra=EXTRA), "extra field's length"),
    "comment of a member": (changed(ORDERS, comment=b"hello"), "comment's length"),
    "other name in the header": (
        WHOLE.replace(b"app/orders.py", b"app/0rders.py", 2).replace(b"app/0rders.py", b"app/orders.py", 1),
        "",
    ),
    "wrong CRC-32 in both headers": (changed(ORDERS, local={CRC: 1}, central={CRC + 1: 1}), "another CRC-32"),
    "wrong CRC-32 in the index": (changed(ORDERS, central={CRC + 1: 1}), "CRC-32"),
    "size beyond the file": (changed(ORDERS, central={STORED + 1: 1 << 30, SIZE + 1: 1 << 30}), "beyond the file"),
    "offset beyond the file": (changed(ORDERS, central={16: 1 << 31}), "no header at byte"),
    "zip64 member without need": (_zip64_member(), "extra field's length"),
    "zip64 end without need": (zipped(pieces(members()), zip64=True), "end records"),
    "zip64 end with wild numbers": (
        zipped(pieces(members()), zip64=True).replace(
            struct.pack("<Q", WHOLE.index(b"PK\1\2")), struct.pack("<Q", 2**64 - 1)
        ),
        "the index begins at",
    ),
    "wrong count": (zipped(pieces(members()), end={3: 1, 4: 1}), "counts 1 members"),
    "wrong offset of the index": (zipped(pieces(members()), end={6: 7}), "the end record says 7"),
    "index larger than the file": (zipped(pieces(members()), end={5: 1 << 30}), "larger than the file"),
    "index with rubbish": (WHOLE.replace(b"PK\1\2", b"PK\1\3", 3).replace(b"PK\1\3", b"PK\1\2", 2), "damaged"),
    "duplicate": (_duplicate(members()[ORDERS]), "there 2 times"),
    "duplicate with other bytes": (_duplicate(b"evil"), "there 2 times"),
    "absolute": (with_names(b"/etc/passwd"), "absolute"),
    "escaping": (with_names(b"app/../../etc/passwd"), "escapes with '..'"),
    "dot": (with_names(b"app/./x"), "a '.'"),
    "empty part": (with_names(b"app//x"), "empty part"),
    "folder": (with_names(b"app/folder/"), "empty part"),
    "no name": (with_names(b""), "empty part"),
    "backslash": (with_names(b"app\\x", b"app/..\\x"), "backslash"),
    "newline": (with_names(b"app/a\nb"), "control character"),
    "escape sequence": (with_names(b"app/\x1b[2J"), "control character"),
    "C1 control character": (with_names("app/\x9b".encode()), "control character"),
    "not UTF-8": (with_names(b"app/\xff"), "not UTF-8"),
    "file and folder": (with_names(b"app/x", b"app/x/y"), "a file and a folder at once"),
    "another folder": (with_names(b"lib/json.py"), "not in one of the folders"),
    "another file at the top": (with_names(b"json.py"), "not in one of the folders"),
    "changed member": (_data_changed(ORDERS), "app/orders.py: changed after sealing"),
    "changed launcher": (_data_changed("__main__.py"), "__main__.py: changed after sealing"),
    "changed manifest": (_data_changed("manifest.toml"), "manifest.toml: changed after sealing"),
    "other bytes, other CRC-32": (
        zipped([replace(one, data=b"evil") if one.name == b"app/orders.py" else one for one in pieces(members())]),
        "app/orders.py: changed after sealing",
    ),
    "missing member": (without(ORDERS), "app/orders.py: missing"),
    "missing checksums": (without("SHA256SUMS"), "SHA256SUMS: missing"),
    "missing manifest": (without("manifest.toml"), "manifest.toml: missing"),
    "missing plan": (without("plan.json"), "plan.json: missing"),
    "missing launcher": (without("__main__.py"), "__main__.py: missing"),
    "no launcher, and none listed": (
        zipped(pieces({name: data for name, data in members().items() if name != "__main__.py"})),
        "__main__.py: missing",
    ),
    "extra member": (
        zipped([*pieces(members())[:3], Piece(b"app/a", b"x"), *pieces(members())[3:]]),
        "app/a: not listed",
    ),
    "checksums empty": (with_sums(lambda _: b""), "not listed in SHA256SUMS"),
    "checksums unsorted": (with_sums(lambda data: b"".join(data.splitlines(True)[::-1])), "not sorted"),
    "checksums in binary mode": (with_sums(lambda data: data.replace(b"  ", b" *")), "malformed"),
    "checksums in upper case": (with_sums(lambda data: data.upper()), "malformed"),
    "checksums with a blank line": (with_sums(lambda data: data + b"\n"), "malformed"),
    "checksums with a line of rubbish": (with_sums(lambda data: data + b"rubbish\n"), "malformed"),
    "checksums without the last newline": (with_sums(lambda data: data[:-1]), "no newline"),
    "checksums with DOS newlines": (with_sums(lambda data: data.replace(b"\n", b"\r\n")), "missing"),
    "checksums twice the same": (with_sums(lambda data: data.splitlines(True)[0] + data), "twice"),
    "checksums that list themselves": (
        with_sums(lambda _: sums(members() | {"SHA256SUMS": b""})),
        "lists itself",
    ),
    "checksums not UTF-8": (with_sums(lambda data: data + b"0" * 64 + b"  \xff\n"), "missing"),
    "manifest of another format": (_manifest(b"format = 1", b"format = 2"), "format 2"),
    "manifest without a format": (_manifest(b"format = 1\n", b""), "format"),
    "manifest names no archive of ours": (_manifest(b"deps/flask-3.1.0-py", b"deps/flask-3.1.1-py"), "is missing"),
    "manifest has another SHA-256": (_manifest(b'sha256 = "', b'sha256 = "0'), "another SHA-256"),
    "manifest names no compose file of ours": (_manifest(b"00-extra", b"01-extra"), "is missing"),
    "plan of another format": (_plan(b'"format":1', b'"format":2'), "plan.json"),
    "plan is not JSON": (holding(plan=b"{"), "plan.json"),
    "plan is a list": (holding(plan=b"[]\n"), "plan.json"),
    "plan nested to the sky": (holding(plan=b"[" * 100_000), "plan.json"),
    "plan names no file of ours": (holding(plan=plan.encode(plans(plan.Place("app/nothing", "x")))), "is missing"),
    "plan names no archive of ours": (holding(plan=plan.encode(plans(plan.Unpack("deps/nothing", "x")))), "is missing"),
}

# The launcher has neither a TOML parser on every Python nor the types: it does not see these.
FAULTS_OF_TYPE: dict[str, tuple[bytes, str]] = {
    "manifest is not TOML": (holding(manifest=b"format = 1\n]["), "manifest.toml"),
    "manifest with a key too many": (_manifest(b"[service]", b'[service]\ncolour = "red"'), "colour"),
    "manifest with a key missing": (_manifest(b'language = "python"\n', b""), "language"),
    "manifest written otherwise": (_manifest(b"[service]", b"# hello\n[service]"), "not in canonical form"),
    "manifest nested to the sky": (holding(manifest=b"format = 1\nx = " + b"[" * 5_000), "manifest.toml"),
    "manifest with a huge number": (holding(manifest=b"format = 1\nx = " + b"1" * 5_000), "manifest.toml"),
    "manifest not UTF-8": (holding(manifest=b'format = 1\nx = "\xff"'), "manifest.toml"),
    "plan pins a path": (_plan(b"sha256:" + b"b" * 64, b"sha256:/etc/passwd"), "sha256:/etc/passwd is not of its form"),
    "plan for a platform that is a path": (_plan(b"linux/amd64", b"../../amd64"), "../../amd64 is not of its form"),
    "manifest pins a path": (_manifest(b"sha256:" + b"b" * 64, b"sha256:../x"), "sha256:../x is not of its form"),
    "service whose name is a path": (_manifest(b'"orders"', b'"../orders"'), "service.name: ../orders"),
    "service whose version is a path": (_manifest(b'"1.4.0"', b'"1/../4"'), "service.version: 1/../4"),
    "plan with a key too many": (_plan(b'"format":1', b'"colour":1,"format":1'), "colour"),
    "plan written otherwise": (_plan(b'"format":1', b'"format": 1'), "not in canonical form"),
    "plan not UTF-8": (_plan(b"C.UTF-8", b"\xff"), "plan.json"),
}

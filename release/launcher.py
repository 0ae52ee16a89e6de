"""The program inside a bundle, its `__main__.py`: verifies, shows and unpacks it with the standard library alone.

    python3 orders-1.4.0.cdaf verify

It runs on Python 3.9 and later, on machines that have never heard of cdaf, and shares no code with it: the format is
written down in cdaf's docs/bundle-format.md, and this is a second reader of it. It proves damage, not origin.
"""

from __future__ import annotations

import sys

ARCHIVE: str = getattr(globals().get("__loader__"), "archive", "")
if __name__ == "__main__" and ARCHIVE:
    # Python puts the bundle in front of its own library: nothing below may be imported from there.
    sys.path[:] = [place for place in sys.path if place != ARCHIVE]

import signal

WHEN_INTERRUPTED = signal.getsignal(signal.SIGINT)
if __name__ == "__main__":
    # An interrupt while the rest is loaded ends the program at once, not in a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import errno
import hashlib
import json
import os
import re
import shutil
import struct
import zlib
from collections import Counter
from typing import IO, NamedTuple

USAGE = """\
usage: python3 FILE.cdaf COMMAND

  verify        check every byte; prints "ok" and the bundle's identity
  show          what is in it
  unpack DIR    write its files to DIR, which must be new or empty

Without zip64 support (Python below 3.13, bundles from 4 GiB or 65,535 files on):
  python3 -c "import sys,zipfile;exec(zipfile.ZipFile(sys.argv[1]).read('__main__.py'))" FILE.cdaf COMMAND
"""
OK, FAILED, MISUSED, DAMAGED, TRY_AGAIN, INTERRUPTED = 0, 1, 2, 5, 75, 130
OWN = ("__main__.py", "manifest.toml", "plan.json", "SHA256SUMS")
FOLDERS = ("app", "deps", "locks", "generated", "smoke", "images")
CHUNK, SIZE_LIMIT, COUNT_LIMIT = 1 << 18, 0xFFFFFFFF, 0xFFFF
LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4s4H2IH")


class Member(NamedTuple):
    """A member as the index has it; `offset` is that of its header."""

    name: str
    size: int
    crc: int
    offset: int


class Content(NamedTuple):
    """Where a member's bytes are, and their SHA-256."""

    offset: int
    size: int
    sha256: str


def raw(name: str) -> bytes:
    """A name as it stands in the file."""
    return name.encode("utf-8", "surrogateescape")


def shown(name: str) -> str:
    """A name fit for a terminal."""
    return name if name.isprintable() else ascii(name)


def local_header(member: Member) -> bytes:
    """What stands in front of a member's bytes."""
    large, name = member.size >= SIZE_LIMIT, raw(member.name)
    extra = struct.pack("<2H2Q", 1, 16, member.size, member.size) if large else b""
    size = SIZE_LIMIT if large else member.size
    needed = 45 if large else 20
    fixed = (b"PK\3\4", needed, 0x800, 0, 0, 0x21, member.crc, size, size, len(name), len(extra))
    return LOCAL.pack(*fixed) + name + extra


def central_header(member: Member) -> bytes:
    """A member's line in the index."""
    large, far, name = member.size >= SIZE_LIMIT, member.offset >= SIZE_LIMIT, raw(member.name)
    wide = [member.size] * 2 * large + [member.offset] * far
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size, offset = min(member.size, SIZE_LIMIT), min(member.offset, SIZE_LIMIT)
    needed = 45 if wide else 20
    fixed = (b"PK\1\2", 0x300 | needed, needed, 0x800, 0, 0, 0x21, member.crc, size, size, len(name), len(extra))
    return CENTRAL.pack(*fixed, 0, 0, 0, 0o100644 << 16, offset) + name + extra


def end_records(count: int, size: int, offset: int) -> bytes:
    """What follows the index."""
    wide = b""
    if count >= COUNT_LIMIT or size >= SIZE_LIMIT or offset >= SIZE_LIMIT:
        wide = END64.pack(b"PK\6\6", 44, 0x32D, 45, 0, 0, count, count, size, offset)
        wide += LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
    short = min(count, COUNT_LIMIT)
    return wide + END.pack(b"PK\5\6", 0, 0, short, short, min(size, SIZE_LIMIT), min(offset, SIZE_LIMIT), 0)


def read(file: IO[bytes], offset: int, size: int) -> bytes:
    """The bytes from `offset` on, fewer at the end of the file."""
    file.seek(offset)
    return file.read(size)


def check(file: IO[bytes]) -> tuple[dict[str, Content], list[str]]:
    """The bundle's members, and everything that is wrong with it; without faults it is intact."""
    faults: list[str] = []
    members = read_index(file, file.seek(0, os.SEEK_END), faults)
    if faults and not members:
        return {}, faults
    found: dict[str, Content] = {}
    for member in members:
        offset = member.offset + len(local_header(member))
        sha256, crc = digest(file, offset, member.size)
        found[member.name] = Content(offset, member.size, sha256)
        if crc != member.crc:
            faults.append(f"{shown(member.name)}: its headers have another CRC-32 than its bytes")
    faults += name_faults([member.name for member in members])
    faults += sums_faults(file, found)
    for name, names_in in (("manifest.toml", manifest_names), ("plan.json", plan_names)):
        try:
            named = names_in(read(file, *found[name][:2])) if name in found else []
            faults += [f"{name}: names {shown(one)}, which is missing" for one, _ in named if one not in found]
            wrong = [one for one, sha256 in named if one in found and sha256 not in ("", found[one].sha256)]
            faults += [f"{name}: {shown(one)} has another SHA-256" for one in wrong]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            faults.append(f"{name}: {error}")
    return found, faults


def read_index(file: IO[bytes], size: int, faults: list[str]) -> list[Member]:
    """The members, each with its header where the index says; their form is checked by rebuilding it."""
    at = size - END.size
    end = read(file, at, END.size) if at >= 0 else b""
    if end[:4] != b"PK\5\6":
        faults.append("not a zip file, cut short, or followed by other bytes")
        return []
    *_, count, length, offset, _ = END.unpack(end)
    wide = at - LOCATOR.size - END64.size
    records = read(file, wide, END64.size + LOCATOR.size) if wide >= 0 else b""
    if records[:4] == b"PK\6\6" and records[END64.size :][:4] == b"PK\6\7":
        *_, count, length, offset = END64.unpack_from(records)
        at = wide
    if offset + length != at:
        faults.append("the index is not where the end record says")
        return []
    directory = read(file, offset, length)
    members = walk(directory, faults)
    if read(file, at, size - at) != end_records(len(members), length, offset) or count != len(members):
        faults.append("the end records are not the canonical ones")
    if offset != (end_of(members[-1]) if members else 0):
        faults.append("the index does not follow the last member")
    return [member for member in members if is_in_place(file, member, offset, faults)]


def walk(directory: bytes, faults: list[str]) -> list[Member]:
    """The lines of the index, as far as they can be read."""
    members: list[Member] = []
    at = 0
    for _ in range(len(directory) // CENTRAL.size):
        if directory[at : at + 4] != b"PK\1\2" or len(directory) - at < CENTRAL.size:
            break
        fields = CENTRAL.unpack_from(directory, at)
        extra_at = at + CENTRAL.size + fields[10]
        end = extra_at + fields[11] + fields[12]
        name = directory[at + CENTRAL.size : extra_at].decode("utf-8", "surrogateescape")
        size, offset = widened(fields[9], fields[16], directory[extra_at : extra_at + fields[11]])
        member = Member(name, size, fields[7], offset)
        if directory[at:end] != central_header(member):
            faults.append(f"{shown(name)}: its line in the index is not the canonical one")
        expected = end_of(members[-1]) if members else 0
        if offset != expected:
            faults.append(f"{shown(name)}: begins at byte {offset}, not {expected}")
        members.append(member)
        at = end
    if at != len(directory):
        faults.append(f"the index is damaged from its byte {at} on")
    return members


def widened(size: int, offset: int, extra: bytes) -> tuple[int, int]:
    """Size and offset, from the zip64 extra field where they are all ones; its form is checked by rebuilding it."""
    numbers = list(struct.unpack_from(f"<{len(extra[4:]) // 8}Q", extra, 4)) if len(extra) > 4 else []
    if size == SIZE_LIMIT and len(numbers) > 1:
        size = numbers[0]
        del numbers[:2]
    return size, numbers[0] if offset == SIZE_LIMIT and numbers else offset


def end_of(member: Member) -> int:
    """Where the next member begins."""
    return member.offset + len(local_header(member)) + member.size


def is_in_place(file: IO[bytes], member: Member, limit: int, faults: list[str]) -> bool:
    """Whether the member's bytes can be read at all."""
    header = local_header(member)
    if end_of(member) > limit:
        faults.append(f"{shown(member.name)}: reaches beyond the last member")
        return False
    if read(file, member.offset, len(header)) != header:
        faults.append(f"{shown(member.name)}: its header is not the canonical one")
    return True


def name_faults(names: list[str]) -> list[str]:
    """Names that no bundle has, and those that each must have."""
    faults = [f"{name}: missing" for name in OWN if name not in names]
    folders = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}
    for name, times in Counter(names).items():
        parts = name.split("/")
        checks = {
            "there more than once": times > 1,
            "a file and a folder at once": name in folders,
            "not in a folder of this format": name not in OWN and parts[0] not in FOLDERS,
            "absolute, or has an empty part": "" in parts,
            "escapes, or has a part that is a dot": ".." in parts or "." in parts,
            "holds a backslash": "\\" in name,
            "holds a control character": any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in name),
            "not UTF-8": any("\ud800" <= letter <= "\udfff" for letter in name),
        }
        faults += [f"{shown(name)}: {fault}" for fault, wrong in checks.items() if wrong]
    if [raw(name) for name in names] != sorted(map(raw, names)):
        faults.append("the members are not sorted by name")
    return faults


def digest(file: IO[bytes], offset: int, size: int, copy: IO[bytes] | None = None) -> tuple[str, int]:
    """SHA-256 and CRC-32 of a part of the file, copied on the way."""
    file.seek(offset)
    sha256, crc = hashlib.sha256(), 0
    while chunk := file.read(min(size, CHUNK)):
        sha256.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size -= len(chunk)
        if copy:
            copy.write(chunk)
    return sha256.hexdigest(), crc


def sums_faults(file: IO[bytes], found: dict[str, Content]) -> list[str]:
    """How SHA256SUMS and the members differ."""
    if "SHA256SUMS" not in found:
        return []
    data = read(file, *found["SHA256SUMS"][:2])
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    matches = [re.fullmatch("([0-9a-f]{64})  (.+)", line) for line in lines[:-1]]
    listed = {match.group(2): match.group(1) for match in matches if match}
    canonical = b"".join(raw(f"{listed[name]}  {name}\n") for name in sorted(listed, key=raw))
    faults = [] if data == canonical else ["SHA256SUMS: malformed, not sorted, or a name listed twice"]
    for name in sorted({*found, *listed} - {"SHA256SUMS"}):
        if name not in listed:
            faults.append(f"{shown(name)}: not listed in SHA256SUMS")
        elif name not in found:
            faults.append(f"{shown(name)}: missing")
        elif listed[name] != found[name].sha256:
            faults.append(f"{shown(name)}: changed after sealing")
    return faults + ["SHA256SUMS: lists itself"] * ("SHA256SUMS" in listed)


def manifest_names(data: bytes) -> list[tuple[str, str]]:
    """The files that it names, with their SHA-256. cdaf writes one key a line, so that no TOML parser is needed."""
    if not data.startswith(b"format = 1\n"):
        raise ValueError("not of format 1")
    named: list[tuple[str, str]] = []
    table = archive = ""
    for line in data.decode().split("\n"):
        key, _, value = line.partition(" = ")
        if line.startswith(("[", "]")):
            table = line
        elif (table, key) == ("[[dependencies]]", "archive"):
            archive = json.loads(value, strict=False)
        elif (table, key) == ("[[dependencies]]", "sha256"):
            named.append((archive, json.loads(value)))
        elif (table, line) == ("[smoke]", "compose = ["):
            table = "compose"
        elif table == "compose":
            named.append((json.loads(line.strip().rstrip(","), strict=False), ""))
    return named


def plan_names(data: bytes) -> list[tuple[str, str]]:
    """The files that it names."""
    plans = json.loads(data)
    if plans["format"] != 1:
        raise ValueError("not of format 1")
    layers = [layer for image in plans["images"] + plans["smoke"] for layer in image["layers"]]
    entries = [entry for layer in layers for entry in layer["entries"]]
    return [(name, "") for name in sorted({entry.get("archive") or entry.get("member") for entry in entries} - {None})]


def show(file: IO[bytes], found: dict[str, Content]) -> None:
    """Print what a person wants to know first."""
    text = read(file, *found["manifest.toml"][:2]).decode()
    try:
        import tomllib
    except ImportError:  # Python below 3.11
        print(text, end="")
        return
    manifest = tomllib.loads(text)
    service, source = manifest["service"], manifest["source"]
    lines = [("service", f"{service['name']} {service['version']} ({service['language']})")]
    lines += [("identity", "sha256:" + found["SHA256SUMS"].sha256), ("starts", json.dumps(service["start"]))]
    lines += [(key, str(source[key])) for key in ("repository", "commit", "time") if key in source]
    lines += [("base", f"{one['platform']} {one['reference']}@{one['digest']}") for one in manifest.get("bases", [])]
    lines += [("dependency", f"{one['name']} {one['version']}") for one in manifest.get("dependencies", [])]
    for folder in FOLDERS:
        sizes = [content.size for name, content in found.items() if name.startswith(folder + "/")]
        lines += [(folder + "/", f"{len(sizes)} files, {sum(sizes)} bytes")] * bool(sizes)
    print("\n".join(f"{label:<13} {value}" for label, value in lines))


def unpack(file: IO[bytes], found: dict[str, Content], target: bytes) -> None:
    """Write all files to `target`, which appears at once; nothing is left behind when that fails."""
    os.umask(0o022)
    target = os.path.realpath(target)
    new = not os.path.isdir(target)
    parent = os.path.dirname(target) if new else target
    os.makedirs(parent, exist_ok=True)
    temporary = os.path.join(parent, b".cdaf-part-" + os.urandom(8).hex().encode())
    try:  # named before it is made: an interrupt in between leaves nothing
        os.mkdir(temporary)
        for name, content in found.items():
            path = os.path.join(temporary, *raw(name).split(b"/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as out:
                if digest(file, content.offset, content.size, out)[0] != content.sha256:
                    raise OSError(errno.EIO, "the bundle changed while it was unpacked")
        # An existing folder is kept: it may be a mount point, or somebody's working directory.
        for one in [b""] if new else [b"/" + name for name in os.listdir(temporary)]:
            os.rename(temporary + one, target + one)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    if arguments[-1:] in (["--help"], ["-h"]):
        print(USAGE, end="")
        return OK
    arguments = [ARCHIVE] * bool(ARCHIVE) + arguments
    if [arguments[1:2], len(arguments)] not in ([["verify"], 2], [["show"], 2], [["unpack"], 3]) or "" in arguments:
        print(USAGE, end="", file=sys.stderr)
        return MISUSED
    try:
        with open(arguments[0], "rb") as file:
            return run(file, *arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        place = os.fsdecode(error.filename or arguments[0])
        print(f"error: {place}: {error.strerror}", file=sys.stderr)
        return TRY_AGAIN if error.errno in (errno.ENOSPC, errno.EDQUOT) else FAILED


def run(file: IO[bytes], bundle: str, command: str, target: str = "") -> int:
    """Verify the bundle, then do as told; nothing is written before."""
    if command == "unpack" and os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        print(f"error: {target} is there already and not an empty folder", file=sys.stderr)
        return MISUSED
    found, faults = check(file)
    if faults:
        print("\n  - ".join([f"error: {bundle} is not an intact bundle", *faults]), file=sys.stderr)
        return DAMAGED
    if command == "show":
        show(file, found)
    elif command == "unpack":
        unpack(file, found, os.fsencode(target))
    else:
        print("ok sha256:" + found["SHA256SUMS"].sha256)
    sys.stdout.flush()
    return OK


if __name__ == "__main__":
    try:
        signal.signal(signal.SIGINT, WHEN_INTERRUPTED)
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)

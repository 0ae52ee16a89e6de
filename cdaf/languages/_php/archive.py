"""What an archive of a package holds: where its own files begin, and whether they may stand in an image.

Forges write the archive of a commit anew whenever they are asked, and not always the same bytes; what stands below its
top folder is the same, so that is what is hashed.
"""

from __future__ import annotations

import hashlib
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from cdaf import store
from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.errors import CdafError, ResolveError
from cdaf.images import content, deflatezip, listing, wheelzip
from cdaf.languages._shared import memo, tree
from cdaf.languages._shared.tree import Leaf
from cdaf.net.fetch import KIND

TREE = "tree-sha256"  # how a hash of a content tree is told from one of an archive's bytes
_JUNK = ".DS_Store"  # beside a top folder it counts for nothing (Composer's ArchiveDownloader)
_LARGEST = 1 << 29


class Item(msgspec.Struct, frozen=True):
    """A file of an archive, or with `link` a symbolic link."""

    sha256: str
    executable: bool = False
    link: str = ""
    native: Elf | None = None


class Reading(msgspec.Struct, frozen=True):
    """An archive's files by their path below its top folder, `top` (with a slash, or empty); sizes in bytes."""

    top: str
    items: dict[str, Item]
    skip: tuple[str, ...] = ()

    def member(self, path: str) -> str:
        """The archive's own name of a file."""
        return self.top + path


class _Raw(msgspec.Struct, frozen=True):
    name: str
    mode: int
    link: str
    data: bytes


def read(path: Path, sha256: str, label: str, *, whole: bool = False) -> Reading:
    """Read an archive, or recall what it held; `whole` says that it has no top folder to be taken off.

    Raises ResolveError for one that is damaged or unsafe.
    """
    name = _name(sha256, whole=whole)
    known = memo.load(name, Reading)
    if known is None:
        with tree.sound(f"the archive of {label} cannot be read", "lock another version"):
            known = _reading(list(_members(path)), whole=whole)
        memo.save(name, known)
    return known


def _reading(members: list[_Raw], *, whole: bool) -> Reading:
    wrong = [f"{each.name!r} leaves the archive" for each in members if not _is_inside(each.name)]
    names = [each.name for each in members]
    wrong += sorted(f"{name!r} is there twice" for name, count in Counter(names).items() if count > 1)
    wrong += [f"the link {each.name} leaves the archive" for each in members if each.link and not _stays(each)]
    if wrong or not members:
        raise ValueError(", ".join(wrong[:10]) or "it holds no file")
    top = "" if whole else _top(names)
    items = {each.name.removeprefix(top): _item(each) for each in members if each.name.startswith(top)}
    if clash := listing.stacked(items):
        raise ValueError(", ".join(clash[:10]))
    return Reading(top, dict(sorted(items.items())), tuple(sorted(set(names) - {top + path for path in items})))


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    is_text = name.isprintable() or not any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name)
    return bool(name) and not {"", ".", ".."} & set(parts) and "\\" not in name and is_text and "\x7f" not in name


def _stays(each: _Raw) -> bool:
    depth = each.name.count("/")
    for part in each.link.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return False
    return not each.link.startswith("/")


def _top(names: list[str]) -> str:
    """The one folder that everything stands in, if there is one (Composer's ArchiveDownloader)."""
    counted = {name.partition("/")[0] if "/" in name else "" for name in names if name != _JUNK}
    (one, *more) = counted or {""}
    return f"{one}/" if one and not more else ""


def _item(each: _Raw) -> Item:
    native = elf.of_bytes(each.data) if each.data.startswith(elf.MAGIC) else None
    return Item(hashlib.sha256(each.data).hexdigest(), bool(each.mode & 0o111) and not each.link, each.link, native)


def _members(path: Path) -> Iterator[_Raw]:
    """Files and links of a zip or a tar. Raises ValueError, and what its readers raise."""
    if zipfile.is_zipfile(path):
        yield from _zipped(path)
        return
    total = 0
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            _demand_bounded(total := total + member.size)
            if member.isfile() or member.issym():
                file = tar.extractfile(member) if member.isfile() else None
                yield _Raw(name, member.mode, member.linkname if member.issym() else "", _bytes(file, member.size))
            elif not member.isdir():
                raise ValueError(f"{name} is neither file, folder nor link")


def _zipped(path: Path) -> Iterator[_Raw]:
    try:
        with content.reading(content.of_file(path)) as reader:
            wheelzip.entries(reader)  # what spreads it in layers has to be able to read it too
    except CdafError as error:
        raise ValueError(error.message) from error
    with zipfile.ZipFile(path) as opened:
        _demand_bounded(sum(member.file_size for member in opened.infolist()))
        for member in opened.infolist():
            mode = member.external_attr >> 16
            if not member.is_dir():
                with opened.open(member) as file:
                    data = _bytes(file, member.file_size)
                is_link = stat.S_ISLNK(mode)
                yield _Raw(member.filename, mode, data.decode() if is_link else "", b"" if is_link else data)


def _demand_bounded(size: int) -> None:
    """All of an archive is held at once, to be written in one order."""
    if size > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST >> 20} MiB")


def _bytes(file: IO[bytes] | None, size: int) -> bytes:
    return file.read(size) if file else b""


def tree_hash(reading: Reading) -> str:
    """The hash of what an archive holds: paths below the top folder, whether each may be run, links, bytes."""
    whole = hashlib.sha256()
    for path, item in sorted(reading.items.items()):
        kind = f"l{item.link}" if item.link else "x" if item.executable else "-"
        whole.update(f"{path}\0{kind}\0{item.sha256}\0".encode())
    return f"{TREE}:{whole.hexdigest()}"


def canonical(path: Path, label: str) -> str:
    """Write an archive anew so that its bytes hang on its content tree alone; the SHA-256 of what is in the store.

    What is in it is known from then on.

    Raises ResolveError when it cannot be read.
    """
    with tree.sound(f"the archive of {label} cannot be read", "lock another version"):
        members = list(_members(path))
        top = _top([each.name for each in members])
        found = [(each.name.removeprefix(top), each) for each in members if each.name.startswith(top)]
        return _written(sorted(found, key=lambda each: each[0]))


def of_files(leaves: Sequence[Leaf]) -> str:
    """The same of files on disk: what git tracks in a folder, or a commit laid out."""
    kept = []
    for leaf in sorted(leaves, key=lambda each: each.name):
        data = b"" if leaf.link else tree.data(leaf)
        kept.append((leaf.name, _Raw(leaf.name, 0o755 if leaf.executable else 0o644, leaf.link, data)))
    return _written(kept)


def _written(kept: list[tuple[str, _Raw]]) -> str:
    reading = _reading([msgspec.structs.replace(each, name=name) for name, each in kept], whole=True)
    modes = {name: _mode(each) for name, each in kept}
    files = ((name, each.link.encode() if each.link else each.data) for name, each in kept)
    try:
        sha256, _ = store.put(KIND, deflatezip.write(files, modes))
    except CdafError as error:
        raise ResolveError(error.message, "lock another version") from error
    memo.save(_name(sha256, whole=True), reading)
    return sha256


def _name(sha256: str, *, whole: bool) -> str:
    return memo.key("php archive", sha256, str(whole))


def _mode(each: _Raw) -> int:
    return 0o120777 if each.link else 0o100755 if each.mode & 0o111 else 0o100644


def bytes_of(path: Path, reading: Reading, wanted: str) -> bytes:
    """The bytes of one file of an archive."""
    name = reading.member(wanted)
    return next(each.data for each in _members(path) if each.name == name)

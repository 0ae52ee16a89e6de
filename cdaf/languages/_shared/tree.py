"""The source tree of something to build: exactly the files that enter, whatever else lies beside them."""

import errno
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from cdaf import process
from cdaf.errors import ProjectError, ResolveError
from cdaf.images import content as bytes_of
from cdaf.images.content import Content
from cdaf.languages._shared import scratch
from cdaf.projects import git, steady

TIME = 315532800  # 1980-01-01T00:00:00Z, the earliest that a wheel's zip knows
_JUNK = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "__pycache__", ".tox", ".nox", ".mypy_cache", "dist", "build"}
)
_CHUNK = 1 << 20


class Leaf(msgspec.Struct, frozen=True):
    """A file of the tree, or with `link` a symbolic link inside it.

    `content` is what its bytes were when they were read first: whoever reads them again is refused others.
    """

    name: str
    path: Path
    executable: bool = False
    link: str = ""
    content: Content | None = None


def tracked(folder: Path) -> tuple[Leaf, ...]:
    """What git tracks below `folder`, as it lies on disk; outside of git, all but well-known junk.

    Raises ProjectError when git tracks nothing there, or a link leaves the folder.
    """
    if process.run(["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"]).code:
        return tuple(_leaf(folder, name) for name in sorted(_walked(folder)))
    entries = [entry for entry in git.tracked(folder) if entry.mode != "160000"]
    there = [entry for entry in entries if (folder / entry.name).is_symlink() or (folder / entry.name).is_file()]
    if not there:
        raise ProjectError(f"git tracks no file in {folder}, and what is built is what git tracks", "commit its files")
    # The mode is git's: a work tree may be on a file system that has none, or be told not to heed them.
    leaves = ((_leaf(folder, entry.name), entry.mode == "100755") for entry in there)
    return tuple(msgspec.structs.replace(leaf, executable=executable and not leaf.link) for leaf, executable in leaves)


def _walked(folder: Path) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in _JUNK and not each.endswith(".egg-info"))
        yield from ((Path(base) / each).relative_to(folder).as_posix() for each in files if not each.endswith(".pyc"))


def _leaf(folder: Path, name: str) -> Leaf:
    path = folder / name
    if not path.is_symlink():
        return Leaf(name, path, bool(path.stat().st_mode & 0o111))
    target = str(path.readlink())
    # Not Path.resolve: below Python 3.13 it raises RuntimeError for links in a circle.
    if target.startswith("/") or not Path(os.path.realpath(path)).is_relative_to(folder.resolve()):
        raise ProjectError(f"{path} is a symbolic link out of {folder}, to {target}", "replace it by what it points to")
    return Leaf(name, path, link=target)


def laid(folder: Path) -> tuple[Leaf, ...]:
    """All files and links of a folder that was laid out, by name."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.append(Leaf(name, path, link=str(path.readlink())))
        elif path.is_file():
            found.append(Leaf(name, path, bool(path.stat().st_mode & 0o100)))
    return tuple(found)


def read(leaves: Iterable[Leaf]) -> tuple[Leaf, ...]:
    """The same, each with what its bytes are now."""
    return tuple(msgspec.structs.replace(leaf, content=content(leaf)) if not leaf.link else leaf for leaf in leaves)


def content(leaf: Leaf) -> Content:
    """The bytes of a file of the tree."""
    return leaf.content or bytes_of.of_file(leaf.path)


def data(leaf: Leaf) -> bytes:
    """The bytes of a file of the tree at once. Raises ProjectError when they are no longer those that were read."""
    found = leaf.path.read_bytes()
    if leaf.content and hashlib.sha256(found).hexdigest() != leaf.content.sha256:
        raise steady.changed(str(leaf.path))
    return found


def digest(leaves: Iterable[Leaf]) -> str:
    """What the tree is, as hex: names, modes, links and bytes."""
    whole = hashlib.sha256()
    for leaf in leaves:
        told = leaf.link or content(leaf).sha256
        whole.update(f"{leaf.name}\0{leaf.executable}\0{bool(leaf.link)}\0{told}\0".encode())
    return whole.hexdigest()


def copy(leaves: Iterable[Leaf], into: Path) -> tuple[Leaf, ...]:
    """Lay the tree out, every mode and time fixed; the same leaves, where they lie now."""
    copies = []
    for leaf in leaves:
        place = into / leaf.name
        copies.append(msgspec.structs.replace(leaf, path=place, content=None))
        place.parent.mkdir(parents=True, exist_ok=True)
        if leaf.link:
            place.symlink_to(leaf.link)
            continue
        with leaf.path.open("rb") as source, place.open("wb") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
        place.chmod(0o755 if leaf.executable else 0o644)
    settle(into)
    return tuple(copies)


def settle(folder: Path) -> None:
    """Give every file and folder one mode of two and one time, so that no build can tell two trees apart by them."""
    for base, _, files in os.walk(folder, topdown=False):
        for path in (Path(base), *(Path(base) / each for each in files)):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            os.utime(path, (TIME, TIME), follow_symlinks=False)


def unpack(archive: Path, filename: str, into: Path) -> Path:
    """Unpack an sdist and return the folder that holds its project. Raises ResolveError for one that is unsafe."""
    with sound(f"{filename} cannot be unpacked", "lock another version"):
        if filename.endswith(".zip"):
            _unzip(archive, into)
        else:
            with tarfile.open(archive) as tar:
                untar(tar, into)
    settle(into)
    inside = list(into.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else into


@contextmanager
def sound(failure: str, hint: str) -> Iterator[None]:
    """Turn all that an archive of others can be into one ResolveError."""
    try:
        yield
    # Encrypted members, methods that nobody knows and links in a circle end in RuntimeError, lost links in KeyError.
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResolveError(f"{failure}: {error}", hint) from error
    except (zlib.error, lzma.LZMAError) as error:
        raise ResolveError(f"{failure}: damaged: {error}", hint) from error


@contextmanager
def taken(data: bytes, top: str, failure: str, hint: str) -> Iterator[list[tuple[str, Path]]]:
    """The regular files of a tar that a container gave, by their path below its top folder, while the block lasts.

    Raises ResolveError as `sound` does.
    """
    with scratch.folder() as into:
        with sound(failure, hint), tarfile.open(fileobj=io.BytesIO(data)) as tar:
            untar(tar, into)
        below = into / PurePosixPath(top).name
        files = sorted(each for each in below.rglob("*") if each.is_file() and not each.is_symlink())
        yield [(each.relative_to(below).as_posix(), each) for each in files]


def untar(tar: tarfile.TarFile, into: Path) -> None:
    """Regular files, folders and links that stay inside; anything else is a ValueError."""
    links = []
    for member in tar:
        place = _inside(into, member.name)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.issym():
            _inside(into, os.path.normpath(PurePosixPath(member.name).parent / member.linkname))
            place.symlink_to(member.linkname)
            links.append(place)
        elif member.isfile() or member.islnk():
            source = tar.extractfile(member)
            if source is None:
                raise ValueError(f"{member.name} is a link to no file")
            _write(source, place, bool(member.mode & 0o100))
        elif member.type not in (tarfile.XGLTYPE, tarfile.XHDTYPE):
            raise ValueError(f"{member.name} is neither file, folder nor link")
    _demand_inside(into, links)


def _demand_inside(into: Path, links: Iterable[Path]) -> None:
    """By name a link may stay inside, and lead out through another one: only the whole tree tells."""
    top = os.path.realpath(into)
    for link in links:
        if os.path.commonpath((top, os.path.realpath(link))) != top:
            raise ValueError(f"{link.relative_to(into)} leaves the archive")


def _unzip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            place = _inside(into, member.filename)
            if member.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source:
                _write(source, place, bool((member.external_attr >> 16) & 0o100))


def _write(source: IO[bytes], place: Path, executable: bool) -> None:
    if place.is_symlink():
        raise ValueError(f"{place.name} is there twice, first as a link")
    with place.open("wb") as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
    place.chmod(0o755 if executable else 0o644)


def _inside(into: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise ValueError(f"{name} leaves the archive")
    place = into.joinpath(*parts)
    if any(parent.is_symlink() for parent in place.parents if parent != into and parent.is_relative_to(into)):
        raise ValueError(f"{name} goes through a link")
    return place

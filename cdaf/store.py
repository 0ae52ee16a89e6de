"""The content-addressed cache: files named by the SHA-256 of their bytes, shared by any number of processes.

A file enters by a rename within the store, so a reader sees all of it or nothing, and two writers of the same bytes
cannot hurt one another. What was found damaged is thrown away by `checked`.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cdaf import atomic, places
from cdaf.errors import CdafError

_HEX = re.compile("[0-9a-f]{64}")


def path(kind: str, sha256: str) -> Path:
    """Where content of this hex digest lies; `kind` is a folder such as `archives` or `blobs`.

    Raises CdafError for anything else: digests come from other machines, and one with slashes would leave the cache.
    """
    if not _HEX.fullmatch(sha256):
        raise CdafError(f"{sha256[:80]!r} is not a SHA-256 in hex", "check where it comes from")
    return places.cache() / kind / sha256[:2] / sha256


def has(kind: str, sha256: str) -> bool:
    """Whether the content is there (not whether it is intact)."""
    return path(kind, sha256).is_file()


@contextmanager
def writing(kind: str) -> Iterator[tuple[IO[bytes], Path]]:
    """A temporary file on the store's own file system and its path; gone at the end unless `keep` took it."""
    with (
        atomic.scratch(places.cache() / kind) as (handle, temporary),
        os.fdopen(handle, "w+b", closefd=False) as file,
    ):
        yield file, temporary


def keep(written: Path, kind: str, sha256: str) -> Path:
    """Move a flushed temporary file to its place; the caller has checked its digest."""
    target = path(kind, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    return written.replace(target)


def put(kind: str, chunks: Iterable[bytes]) -> tuple[str, Path]:
    """Store content; returns its hex SHA-256 and its path."""
    digest = hashlib.sha256()
    with writing(kind) as (file, temporary):
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        return digest.hexdigest(), keep(temporary, kind, digest.hexdigest())


def checked(kind: str, sha256: str) -> Path | None:
    """The content's path if it is there and its bytes still have that digest; a damaged file is removed."""
    found = path(kind, sha256)
    try:
        with found.open("rb") as file:
            intact = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return None
    if not intact:
        found.unlink(missing_ok=True)
        return None
    return found


def intact(kind: str, sha256: str, size: int, written: int = -1) -> int:
    """When the content's file was written, in nanoseconds, if it is whole, else 0.

    It is read again, as by `checked`, unless it is the file that was `written` then, or nothing is known of that (-1).
    """
    try:
        told = path(kind, sha256).stat()
    except FileNotFoundError:
        return 0
    if told.st_size != size or (written not in (-1, told.st_mtime_ns) and not checked(kind, sha256)):
        return 0
    return told.st_mtime_ns


def read(kind: str, sha256: str) -> bytes | None:
    """The content itself, of small things, if it is there and intact."""
    found = checked(kind, sha256)
    return found.read_bytes() if found else None


def remember(kind: str, key: str, data: bytes) -> None:
    """Keep a small result under the hex digest of its inputs."""
    with writing(kind) as (file, temporary):
        file.write(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        file.flush()
        keep(temporary, kind, key)


def recall(kind: str, key: str) -> bytes | None:
    """The result kept under those inputs, unless there is none or it is damaged."""
    try:
        checksum, _, data = path(kind, key).read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest().encode() == checksum else None

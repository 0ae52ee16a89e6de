"""Fills a canonical zip: copies members to their places, hashing each once, on two threads."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple

import deflate

from cdaf.bundles import zipform
from cdaf.bundles.zipform import Entry
from cdaf.errors import ProjectError, faults

Source = bytes | Path
CHUNK = 1 << 20
_WORTH_A_THREAD = 1 << 16


class Digest(NamedTuple):
    """What is known of a member's bytes once they were read: hex SHA-256 and CRC-32."""

    sha256: str
    crc: int


def sizes(sources: Mapping[str, Source]) -> dict[str, int]:
    """How long each member will be. Raises ProjectError that lists every file which cannot be read."""
    found: dict[str, int] = {}
    wrong: list[str] = []
    for name, source in sources.items():
        if isinstance(source, bytes):
            found[name] = len(source)
            continue
        try:
            facts = source.stat()
        except OSError as error:
            wrong.append(f"{zipform.shown(name)}: {source}: {error.strerror}")
            continue
        if stat.S_ISREG(facts.st_mode):
            found[name] = facts.st_size
        else:
            wrong.append(f"{zipform.shown(name)}: {source}: not a regular file")
    if wrong:
        raise ProjectError(faults("files of the bundle cannot be read", wrong), "make them readable regular files")
    return found


def write_all(file: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, however often the system stops short."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        offset += written
        view = view[written:]


def fill(
    file: int, entries: Sequence[Entry], sources: Mapping[str, Source], moved: Callable[[int], None]
) -> dict[str, Digest]:
    """Write each entry's header and bytes at its place; `moved` is told of bytes, in this thread or another.

    Raises ProjectError when a source changes meanwhile, OSError when the bundle cannot be written.
    """
    stop = Event()

    def one(entry: Entry) -> tuple[str, Digest]:
        return entry.name, _member(file, entry, sources[entry.name], moved, stop)

    large = sorted((e for e in entries if e.size >= _WORTH_A_THREAD), key=lambda e: -e.size)
    with ThreadPoolExecutor(2, "cdaf-seal") as pool:
        try:
            waiting = [pool.submit(one, entry) for entry in large]
            done = dict(one(entry) for entry in entries if entry.size < _WORTH_A_THREAD)
            return done | dict(future.result() for future in waiting)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _member(file: int, entry: Entry, source: Source, moved: Callable[[int], None], stop: Event) -> Digest:
    if isinstance(source, bytes):
        return _whole(file, entry, source, moved)
    try:
        handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(entry, source, error.strerror) from error
    try:
        if entry.size < _WORTH_A_THREAD:
            return _whole(file, entry, b"".join(map(bytes, _chunks(handle, entry, source))), moved)
        return _stream(file, entry, _chunks(handle, entry, source), moved, stop)
    finally:
        os.close(handle)


def _whole(file: int, entry: Entry, data: bytes, moved: Callable[[int], None]) -> Digest:
    digest = Digest(hashlib.sha256(data).hexdigest(), deflate.crc32(data))
    header = zipform.local_header(entry._replace(crc=digest.crc))
    if len(data) < _WORTH_A_THREAD:
        write_all(file, header + data, entry.offset)
    else:
        write_all(file, header, entry.offset)
        write_all(file, data, entry.data)
    moved(entry.size)
    return digest


def _stream(file: int, entry: Entry, chunks: Iterator[memoryview], moved: Callable[[int], None], stop: Event) -> Digest:
    sha256, crc, at = hashlib.sha256(), 0, entry.data
    for chunk in chunks:
        if stop.is_set():
            break
        sha256.update(chunk)
        crc = deflate.crc32(chunk, crc)
        write_all(file, chunk, at)
        at += len(chunk)
        moved(len(chunk))
    write_all(file, zipform.local_header(entry._replace(crc=crc)), entry.offset)
    return Digest(sha256.hexdigest(), crc)


def _chunks(handle: int, entry: Entry, source: Path) -> Iterator[memoryview]:
    """The file's bytes through one buffer, exactly as many as were announced."""
    buffer = memoryview(bytearray(min(CHUNK, entry.size + 1)))
    left = entry.size
    while True:
        try:
            got = os.readv(handle, [buffer])
        except OSError as error:
            raise _unreadable(entry, source, error.strerror) from error
        if got > left or (got == 0 and left):
            raise _unreadable(entry, source, "it changed while it was being sealed")
        if got == 0:
            return
        left -= got
        yield buffer[:got]


def _unreadable(entry: Entry, source: Path, why: str | None) -> ProjectError:
    return ProjectError(f"{zipform.shown(entry.name)}: {source}: {why}", "package again when nothing writes to it")

"""Files that appear whole or not at all, and leave nothing behind."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cdaf import places
from cdaf.errors import CdafError, UsageError

_PREFIX = ".cdaf-part-"
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def writing(target: Path) -> Iterator[int]:
    """A descriptor to write to; its file takes `target`'s name, mode 0644, when the block ends without an error.

    What a killed process left in that folder is removed first: the writer holds a lock on its temporary file, so one
    without a lock has no owner. Raises a transient CdafError when the disk is full, UsageError when the folder cannot
    be written to.
    """
    with scratch(target.parent, target) as (file, temporary):
        yield file
        os.fchmod(file, 0o644)
        os.fsync(file)
        temporary.replace(target)
        _flush_folder(target.parent)


@contextmanager
def scratch(folder: Path, target: Path | None = None) -> Iterator[tuple[int, Path]]:
    """A temporary file in a folder, by descriptor and path; it is gone when the block ends, unless it was renamed.

    Sweeps and raises as `writing` does; `target` is what a message names.
    """
    with _explained(target or folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        file, temporary = _new(folder)
        try:
            yield file, temporary
        finally:
            temporary.unlink(missing_ok=True)
            os.close(file)


@contextmanager
def with_room(folder: Path) -> Iterator[None]:
    """Name the folder that a block writes to when its disk is full and the system's error names nothing, as of a write.

    Raises a transient CdafError then.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        raise _full(folder, error) from error


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(target, error) from error
        message = _unwritten(target, error)
        if places.in_cache(target):
            raise UsageError(f"the cache {message}", places.HINT) from error
        raise UsageError(message, "choose another folder with --out") from error


def _full(target: Path, error: OSError) -> CdafError:
    disk = target if target.is_dir() else target.parent
    return CdafError(_unwritten(target, error), f"free space on the disk of {disk}", transient=True)


def _unwritten(target: Path, error: OSError) -> str:
    return f"{target} cannot be written: {error.strerror or error}"


def _new(folder: Path) -> tuple[int, Path]:
    while True:
        path = folder / f"{_PREFIX}{os.urandom(8).hex()}"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        # A file system without locks keeps its leftovers: `_sweep` gets no lock there either.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        # Between the two calls a sweep may have taken the file for a leftover.
        if os.fstat(file).st_nlink:
            return file, path
        os.close(file)


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_unowned(path)


def _remove_unowned(path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISREG(os.fstat(file).st_mode):
            path.unlink()
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    # The rename itself outlives a power cut only when the folder is flushed too; some file systems cannot.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""Folders for the length of a build, which even a killed process does not leave behind for good."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cdaf import atomic, places


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder on the cache's file system, gone at the end.

    Its owner holds a lock beside it; what has a lock that nobody holds was left by a killed process and goes first.
    Raises a transient CdafError when its disk is full.
    """
    root = places.cache() / "scratch"
    root.mkdir(parents=True, exist_ok=True)
    for lock in root.glob("*.lock"):
        _sweep(lock)
    handle, lock = _locked(root)
    mine = lock.with_suffix("")
    try:
        mine.mkdir(mode=0o700)
        with atomic.with_room(root):
            yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(handle)


def _locked(root: Path) -> tuple[int, Path]:
    while True:
        lock = root / f"{os.urandom(8).hex()}.lock"
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Between the two calls another process may have taken it for a leftover.
        if os.fstat(handle).st_nlink:
            return handle, lock
        os.close(handle)


def _sweep(lock: Path) -> None:
    with suppress(OSError):
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
        finally:
            os.close(handle)

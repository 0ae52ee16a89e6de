"""Threads for transfers, which Ctrl-C ends at their next piece instead of their last."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from cdaf.errors import CdafError

_stopping = threading.Event()
_told: list[Callable[[], None]] = []


@contextmanager
def workers(count: int, *, abandoning: bool = False) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads; on an error in its block what waits is not begun, on Ctrl-C what runs ends too.

    `abandoning` treats every error as Ctrl-C: what runs is of no use any more.
    """
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if abandoning or isinstance(error, KeyboardInterrupt):
                _stop(pool)
            pool.shutdown()
            raise


def _stop(pool: ThreadPoolExecutor) -> None:
    _stopping.set()
    for each in _told:
        each()
    pool.shutdown()
    _stopping.clear()


def on_interrupt(action: Callable[[], None]) -> None:
    """Have `action` called on Ctrl-C while workers run: it wakes those that wait for another machine."""
    _told.append(action)


def check() -> None:
    """Raise CdafError when the user has pressed Ctrl-C; called between pieces."""
    if _stopping.is_set():
        raise CdafError("interrupted")


def wait(seconds: float) -> None:
    """Sleep, or raise as `check` does."""
    _stopping.wait(seconds)
    check()

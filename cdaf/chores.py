"""What nobody waits for until the process ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cdaf import progress
from cdaf.errors import CdafError

if TYPE_CHECKING:
    from threading import Thread

_PATIENCE = 30.0  # seconds
_begun: list[Thread] = []


def begin(chore: Callable[[], object]) -> None:
    """Have something done beside all else; nothing depends on it, so that a CdafError of its is only a note."""
    from threading import Thread

    thread = Thread(target=_done, args=(chore,), name="cdaf-chore")
    _begun.append(thread)
    thread.start()


def finish() -> None:
    """Wait until all of it is done, but not for ever."""
    end = time.monotonic() + _PATIENCE
    while _begun:
        _begun.pop().join(max(0.0, end - time.monotonic()))


def _done(chore: Callable[[], object]) -> None:
    try:
        chore()
    except CdafError as error:
        progress.note(error.message)

"""Ctrl-C ends transfers at their next piece."""

import threading

import pytest

from cdaf.errors import CdafError
from cdaf.net import transfers


def test_an_interrupt_ends_what_runs_and_what_waits_is_not_begun() -> None:
    running, begun = threading.Event(), []

    def endless() -> None:
        running.set()
        while True:
            transfers.wait(0.001)

    def interrupted() -> None:
        with transfers.workers(1) as pool:
            futures.append(pool.submit(endless))
            futures.append(pool.submit(lambda: begun.append(1)))
            running.wait()
            raise KeyboardInterrupt

    futures: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not begun
    with pytest.raises(CdafError, match="interrupted"):
        futures[0].result()  # type: ignore[attr-defined]
    transfers.check()


def test_an_error_lets_what_runs_end_and_begins_nothing_more() -> None:
    running, begun = threading.Event(), []

    def short() -> None:
        running.set()
        transfers.wait(0.05)
        begun.append("ended")

    def failing() -> None:
        with transfers.workers(1) as pool:
            pool.submit(short)
            pool.submit(lambda: begun.append("never"))
            running.wait()
            raise ValueError

    with pytest.raises(ValueError):
        failing()
    assert begun == ["ended"]

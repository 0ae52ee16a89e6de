"""Progress for a pipe: plain lines with timings; and the nesting of steps that every display shows."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from cdaf.terminal.units import size

LONG = 10.0  # seconds until a pipe is told that a step is still going on
LARGE = 50_000_000  # bytes from which a transfer has a line of its own in a pipe


class Open:
    """A step that is under way: who opened it, how deep it lies, what was moved since."""

    def __init__(self, name: str, depth: int) -> None:
        self.name = name
        self.depth = depth
        self.thread = threading.get_ident()
        self.began = time.monotonic()
        self.transfers = self.moved = 0

    @property
    def line(self) -> str:
        """Name and time, indented below the steps around it."""
        return f"{'  ' * self.depth}{self.name}"

    @property
    def seconds(self) -> str:
        """The time since it began."""
        return f"{time.monotonic() - self.began:.2f} s"


class Nesting:
    """The steps under way; threads open theirs below whatever else is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Open] = []

    def begin(self, name: str) -> Open:
        """Open a step below this thread's own innermost one, or below the first of all."""
        with self._lock:
            around = self._around()
            opened = Open(name, around.depth + 1 if around else 0)
            self._open.append(opened)
        return opened

    def end(self, step: Open) -> None:
        """Close it."""
        with self._lock:
            self._open.remove(step)

    def count(self, moved: int) -> None:
        """Count a transfer towards the step that this thread is in."""
        with self._lock:
            if around := self._around():
                around.transfers += 1
                around.moved += moved

    def _around(self) -> Open | None:
        own = [step for step in self._open if step.thread == threading.get_ident()]
        return own[-1] if own else self._open[0] if self._open else None


class Plain:
    """Progress for a pipe: a line for each step that ended, with its time and what it moved."""

    def __init__(self, stream: IO[str], clean: Callable[[str], str]) -> None:
        self._stream = stream
        self._clean = clean
        self._lock = threading.Lock()
        self._nesting = Nesting()

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time one stage; a long one is announced while it runs. What it is at is a line, but never twice the same."""
        step = self._nesting.begin(name)
        waiting = threading.Timer(LONG, self._line, [f"{step.line}: still going on"])
        waiting.daemon = True
        waiting.start()
        said = set()

        def say(text: str) -> None:
            if text not in said:
                said.add(text)
                self._line(f"{step.line}: {text}")

        try:
            yield say
        except BaseException:
            self._line(f"{step.line} failed after {step.seconds}")
            raise
        else:
            plural = "" if step.transfers == 1 else "s"
            moved = f" ({step.transfers} transfer{plural}, {size(step.moved)})" if step.transfers else ""
            self._line(f"{step.line} {step.seconds}{moved}")
        finally:
            waiting.cancel()
            self._nesting.end(step)

    @contextmanager
    def transfer(self, label: str, _: int | None, /) -> Iterator[Callable[[int], None]]:
        """Count what moves towards the step's line; a large transfer has its own."""
        began, moved = time.monotonic(), 0

        def count(amount: int) -> None:
            nonlocal moved
            moved += amount

        yield count
        self._nesting.count(moved)
        if moved >= LARGE:
            self._line(f"{label} {rate(moved, time.monotonic() - began)}")

    def note(self, text: str) -> None:
        """A line on its own."""
        self._line(text)

    def warn(self, text: str) -> None:
        """A line that begins with the word."""
        self._line(f"warning: {text}")

    def _line(self, text: str) -> None:
        with self._lock, suppress(OSError):  # a full or closed stderr is no reason to stop
            self._stream.write(self._clean(text) + "\n")
            self._stream.flush()


def rate(count: int, seconds: float) -> str:
    """Bytes, time and their ratio."""
    return f"{size(count)} in {seconds:.1f} s ({size(count / max(seconds, 0.001))}/s)"

"""What stages say while they work; the console decides how it looks, and by default nothing is shown."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Sink(Protocol):
    """Where progress goes."""

    def step(self, name: str, /) -> AbstractContextManager[Callable[[str], None]]:
        """Frame one stage of the flow, timed; the callable takes what it is at now, as often as that changes."""

    def transfer(self, label: str, total: int | None, /) -> AbstractContextManager[Callable[[int], None]]:
        """Frame a transfer of `total` bytes; the callable takes the bytes moved since its last call."""

    def note(self, text: str) -> None:
        """Say something worth knowing."""

    def warn(self, text: str) -> None:
        """Say something that the user should act on."""


class Silent:
    """A sink that swallows everything, for library use and tests."""

    @contextmanager
    def step(self, _: str, /) -> Iterator[Callable[[str], None]]:
        """Frame nothing."""
        yield lambda _: None

    @contextmanager
    def transfer(self, _: str, __: int | None, /) -> Iterator[Callable[[int], None]]:
        """Count nothing."""
        yield lambda _: None

    def note(self, text: str) -> None:
        """Swallow a note."""

    def warn(self, text: str) -> None:
        """Swallow a warning."""


_sink: Sink = Silent()


def use(sink: Sink) -> None:
    """Send all further progress to `sink`."""
    global _sink  # noqa: PLW0603 - one process has one terminal
    _sink = sink


def step(name: str) -> AbstractContextManager[Callable[[str], None]]:
    """Frame one stage of the flow; see `Sink.step`."""
    return _sink.step(name)


def transfer(label: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
    """Frame a transfer; see `Sink.transfer`."""
    return _sink.transfer(label, total)


def note(text: str) -> None:
    """Say something worth knowing."""
    _sink.note(text)


def warn(text: str) -> None:
    """Say something that the user should act on."""
    _sink.warn(text)

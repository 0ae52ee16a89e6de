"""The one door to the terminal: results to stdout, one a line; everything else to stderr."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from cdaf import progress, redact
from cdaf.errors import CdafError, exit_code

LONG = 10.0  # seconds until a pipe is told that a step is still going on
LARGE = 50_000_000  # bytes from which a transfer has a line of its own in a pipe

_as_json = False


class Table(NamedTuple):
    """Rows under a title; every cell is text."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def begin(*, as_json: bool) -> None:
    """Prepare both streams; progress goes to a live display on a terminal, else to plain lines."""
    global _as_json  # noqa: PLW0603 - one process has one stdout
    _as_json = as_json
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - None when the caller closed it
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - it lives as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    progress.use(_Deferred(_live if lively(sys.stderr, os.environ) else lambda: Plain(sys.stderr)))


def abandoned() -> bool:
    """Whether the reader of stdout went away, which is its right; what is left to write is then dropped."""
    watched = select.poll()
    watched.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def lively(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether a live display is wanted: a terminal that can move its cursor, and no CI."""
    return stream.isatty() and environ.get("TERM") != "dumb" and environ.get("CI", "") in ("", "0", "false")


def coloured(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether colours are wanted (no-color.org)."""
    return lively(stream, environ) and not environ.get("NO_COLOR")


def answer(data: Mapping[str, Any], lines: Sequence[str] = ()) -> None:
    """The command's result: its lines, or with --json one object."""
    if _as_json:
        lines = [_json({"ok": True, **data})]
    _out("".join(f"{line}\n" for line in lines))


def result(text: str) -> None:
    """A result that is one text in itself, JSON or not, such as a schema."""
    _out(f"{text}\n")


def answer_tables(data: Mapping[str, Any], tables: Sequence[Table]) -> None:
    """A result that people read as tables: aligned columns, an empty line between tables."""
    if _as_json:
        answer(data)
        return
    _out("\n".join(_drawn(table) for table in tables if table.rows))


def fail(error: CdafError) -> None:
    """Print an error: the tool's output first, then what is wrong, then the hint; with --json also one object."""
    message, hint = _shown(error.message), _shown(error.hint)
    if error.output:
        _err(_shown(error.output))
    _err(_paint("error:", "1;31") + f" {message}")
    if hint:
        _err(_paint("hint:", "1;36") + f" {hint}")
    if _as_json:
        code = exit_code(error)
        told = {"message": message, "hint": hint, "exit_code": code, "transient": error.transient}
        _out(_json({"ok": False, "error": told}) + "\n")


def interrupted() -> None:
    """Say that the user, or a signal, ended the run."""
    _err("interrupted")


def plain(text: str) -> str:
    """Text without control characters but line ends and tabs, so that no name can drive a terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


class Plain:
    """Progress for a pipe: a line for each step that ended, with its time and what it moved."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._moved: list[tuple[int, int]] = []  # per open step: transfers, bytes

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one stage; a long one is announced while it runs."""
        began = time.monotonic()
        waiting = threading.Timer(LONG, self._line, [f"{name}: still going on"])
        waiting.daemon = True
        waiting.start()
        with self._lock:
            self._moved.append((0, 0))
        try:
            yield
        except BaseException:
            self._line(f"{name} failed after {time.monotonic() - began:.2f} s", self._close())
            raise
        else:
            self._line(f"{name} {time.monotonic() - began:.2f} s", self._close())
        finally:
            waiting.cancel()

    @contextmanager
    def transfer(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Count what moves towards the step's line; a large transfer has its own."""
        began, moved = time.monotonic(), 0

        def count(amount: int) -> None:
            nonlocal moved
            moved += amount

        yield count
        with self._lock:
            if self._moved:
                transfers, total_moved = self._moved[-1]
                self._moved[-1] = (transfers + 1, total_moved + moved)
        if moved >= LARGE:
            self._line(f"{label} {rate(moved, time.monotonic() - began)}")

    def note(self, text: str) -> None:
        """A line on its own."""
        self._line(text)

    def warn(self, text: str) -> None:
        """A line that begins with the word."""
        self._line(f"warning: {text}")

    def _close(self) -> str:
        with self._lock:
            transfers, moved = self._moved.pop()
        return f" ({transfers} transfer{'' if transfers == 1 else 's'}, {size(moved)})" if transfers else ""

    def _line(self, text: str, more: str = "") -> None:
        with self._lock:
            self._stream.write(_shown(text) + more + "\n")
            self._stream.flush()


def rate(count: int, seconds: float) -> str:
    """Bytes, time and their ratio."""
    return f"{size(count)} in {seconds:.1f} s ({size(count / max(seconds, 0.001))}/s)"


class _Deferred:
    """The sink that is made when something is first said: most commands never say anything."""

    def __init__(self, make: Callable[[], progress.Sink]) -> None:
        self._make = make
        self._made: progress.Sink | None = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            self._made = self._make()
        return getattr(self._made, name)


def _live() -> progress.Sink:
    from cdaf.live import Live

    return Live(sys.stderr, _shown)


def _shown(text: str) -> str:
    return plain(redact.text(text))


def _json(data: Mapping[str, Any]) -> str:
    import json

    return json.dumps(data, ensure_ascii=False, indent=2)


def _drawn(table: Table) -> str:
    rows = [[plain(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *rows, strict=True)]
    title = [_paint(table.title, "1", sys.stdout)] if table.title else []
    head = [_paint(_aligned(table.columns, widths), "2", sys.stdout)] if any(table.columns) else []
    return "".join(f"{line}\n" for line in [*title, *head, *(_aligned(row, widths) for row in rows)])


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _paint(text: str, code: str, stream: IO[str] | None = None) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if coloured(stream or sys.stderr, os.environ) else text


def _out(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _err(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

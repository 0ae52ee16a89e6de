"""The one door to the terminal: results to stdout, one a line; everything else to stderr."""

import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple, TextIO

from cdaf import progress
from cdaf.errors import EXIT_INTERRUPTED, CdafError, exit_code
from cdaf.terminal import redact

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
    sys.stdout = sys.stdout or _nowhere()  # None when the caller closed it
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    progress.use(_Deferred(_live if lively(sys.stderr, os.environ) else _plain))


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
    """Print an error that ends the command; with --json also one object."""
    complain(error)
    if _as_json:
        _out(_json({"ok": False, "error": told(error)}) + "\n")


def told(error: CdafError) -> dict[str, Any]:
    """An error as --json tells it."""
    message, hint = _shown(error.message), _shown(error.hint)
    return {
        "message": message,
        "hint": hint,
        "exit_code": exit_code(error),
        "transient": error.transient,
        **error.data,
    }


def complain(error: CdafError) -> None:
    """Print an error to stderr: the tool's output first, then what is wrong, then the hint."""
    message, hint = _shown(error.message), _shown(error.hint)
    if error.output:
        _err(_shown(error.output))
    _err(_paint("error:", "1;31") + f" {message}")
    if hint:
        _err(_paint("hint:", "1;36") + f" {hint}")


def interrupted() -> None:
    """Say that the user, or a signal, ended the run; with --json also in one object."""
    _err("interrupted")
    if _as_json:
        known = told(CdafError("interrupted")) | {"exit_code": EXIT_INTERRUPTED}
        with suppress(OSError):
            _out(_json({"ok": False, "error": known}) + "\n")


def plain(text: str) -> str:
    """Text without control characters but line ends and tabs, so that no name can drive a terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Deferred:
    """The sink that is made when something is first said: most commands never say anything."""

    def __init__(self, make: Callable[[], progress.Sink]) -> None:
        self._make = make
        self._made: progress.Sink | None = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            self._made = self._make()
        return getattr(self._made, name)


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _plain() -> progress.Sink:
    from cdaf.terminal.plain import Plain

    return Plain(sys.stderr, _shown)


def _live() -> progress.Sink:
    from cdaf.terminal.live import Live

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
    with suppress(OSError):  # a full or closed stderr is no reason to end otherwise
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

"""Rows and how they are written: a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks import measure
from tools.state import ToolError

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Unit = Literal["s", "ms", "MB", "KB"]
HEAD = ("what", "cdaf", "instead", "ratio (paired)", "aim", "met")


@dataclass(frozen=True, slots=True)
class Aim:
    """What a row has to stay under: cdaf's own figure, the ratio, or the difference, in the row's unit."""

    of: Literal["figure", "ratio", "difference"]
    most: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `theirs` may be empty. Figures are seconds (unit s or ms) or bytes (unit MB or KB)."""

    what: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()
    instead: str = ""
    unit: Unit = "s"
    aim: Aim | None = None


SCALE = {"s": 1.0, "ms": 1e-3, "MB": 1e6, "KB": 1e3}


def reached(row: Row) -> float | None:
    """The figure that the row's aim is about; None without an aim."""
    if row.aim is None:
        return None
    if row.aim.of == "figure":
        return median(row.ours)
    if row.aim.of == "difference":
        return median(row.ours) - median(row.theirs)
    return measure.ratio(row.ours, row.theirs)


def met(row: Row) -> bool | None:
    """Whether the row's aim is met; None without an aim."""
    found = reached(row)
    return None if found is None or row.aim is None else found <= row.aim.most


def cells(row: Row) -> tuple[str, ...]:
    """The row's cells, in the order of `HEAD`."""
    compared = ""
    if row.theirs:
        compared = f"{measure.ratio(row.ours, row.theirs):.2f} ({measure.paired(row.ours, row.theirs):.2f})"
    theirs = f"{_figure(median(row.theirs), row.unit)}, {row.instead}" if row.theirs else row.instead
    verdict = {None: "", True: "yes", False: "**no**"}[met(row)]
    return row.what, _figure(median(row.ours), row.unit), theirs, compared, _aim(row), verdict


def render(rows: Sequence[Row]) -> str:
    """All rows as a Markdown table, its columns in line."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths)
    return "\n".join(f"{line} |".replace("- |", "-|") for line in [drawn[0], rule, *drawn[1:]]) + "\n"


def replaced(page: str, measured: str) -> str:
    """A page with what stands between its two markers replaced. Raises ToolError when it has no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ToolError("the page has no place for a table", f"add the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{measured}\n{END}{after}"


def _figure(value: float, unit: Unit) -> str:
    scaled = value / SCALE[unit]
    return f"{scaled:.2f} s" if unit == "s" else f"{scaled:.0f} ms" if unit == "ms" else f"{scaled:.1f} {unit}"


def _aim(row: Row) -> str:
    if row.aim is None:
        return ""
    if row.aim.of == "ratio":
        return f"≤ {row.aim.most:g} ×"
    return f"≤ {'+' if row.aim.of == 'difference' else ''}{row.aim.most / SCALE[row.unit]:g} {row.unit}"

"""The instructions of a Dockerfile, one by one, cut as BuildKit's parser cuts them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from cdaf.languages._docker import words

_DIRECTIVE = re.compile(r"#\s*([a-z][a-z0-9]*)\s*=\s*(.+?)\s*", re.IGNORECASE | re.ASCII)
_DIRECTIVES = ("syntax", "escape", "check")
_DOCUMENTED = ("RUN", "COPY", "ADD")  # what may have here-documents
_BETWEEN = re.compile(f"[{words.SPACE}]+")


class Line(msgspec.Struct, frozen=True):
    """One instruction; `flags` are those before its words, `number` is the file's line where it begins."""

    number: int
    word: str
    flags: tuple[str, ...]
    rest: str


def syntax(text: str) -> str:
    """The frontend that a Dockerfile asks for, as an image; empty when it asks for none."""
    rows = _rows(text)
    told = _directives(rows[1:] if rows[0].startswith("#!") else rows).get("syntax", "")
    return told.partition(" ")[0]


def escape(text: str) -> str:
    """What joins a line and the next, and takes its meaning from a quote."""
    return _directives([row.lstrip() for row in _rows(text)]).get("escape", "\\")[:1]


def _directives(rows: Sequence[str]) -> dict[str, str]:
    """Comments before anything else; the first line that is none of the known ones ends them."""
    found: dict[str, str] = {}
    for row in rows:
        told = _DIRECTIVE.fullmatch(row)
        if told is None or told[1].lower() not in _DIRECTIVES:
            break
        found.setdefault(told[1].lower(), told[2])
    return found


def _rows(text: str) -> list[str]:
    return [row.rstrip("\r") for row in text.removeprefix("\ufeff").split("\n")]


def read(text: str, escape: str) -> Iterator[Line]:
    """Whole instructions: continuations joined, comments and the bodies of here-documents left out."""
    rows = _rows(text)
    own = re.escape(escape)
    continued = re.compile(rf"(?<!{own}){own}[ \t]*\Z")  # one that is escaped itself joins nothing
    at = 0
    while at < len(rows):
        start, row = at, rows[at].lstrip()
        at += 1
        whole, joins = continued.subn("", "" if _is_nothing(row) else row)
        while joins and at < len(rows):
            if not _is_nothing(rows[at]):
                more, joins = continued.subn("", rows[at])
                whole += more
            at += 1
        if whole.strip():
            line = _line(start + 1, whole)
            yield line
            at = _after_documents(line, whole, rows, at)


def _is_nothing(row: str) -> bool:
    return not row.strip() or row.lstrip().startswith("#")


def _line(number: int, whole: str) -> Line:
    word, *more = _BETWEEN.split(whole.strip(), maxsplit=1)
    return Line(number, word.upper(), *words.flags(more[0] if more else ""))


def under(line: Line) -> Line:
    """The instruction of an ONBUILD; any other is itself."""
    return _line(line.number, line.rest) if line.word == "ONBUILD" else line


def _after_documents(line: Line, whole: str, rows: Sequence[str], at: int) -> int:
    """Where the next instruction may begin; a here-document that nothing ends takes none away."""
    for end, tabbed in words.heredocs(whole) if under(line).word in _DOCUMENTED else ():
        bodies = (
            number for number in range(at, len(rows)) if end == (rows[number].lstrip("\t") if tabbed else rows[number])
        )
        at = next(bodies, at - 1) + 1
    return at

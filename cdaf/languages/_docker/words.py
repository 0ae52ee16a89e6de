"""The words of a Dockerfile's instructions: where they end, what their quotes hide, and what their variables say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

SPACE = "\t\v\f\r "  # between an instruction and its words; a no-break space is a letter here
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+")
_KNOWN = re.compile(r":?[-+]")
_FLAG = re.compile(r"""--(?:'(?:\\.|[^'\\])*(?:'|$)|"(?:\\.|[^"\\])*(?:"|$)|\\.|[^\s'"\\]|\\$)*""")
_PART = re.compile(r"""'((?:\\.|[^'\\])*)'?|"((?:\\.|[^"\\])*)"?|(\\.|[^'"\\]+)""")
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)", re.ASCII)
# As a shell has them, and no more than the shell's: inside of quotes and of ${} nothing begins a word.
_SHELL = r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|\$\{[^}]*\}|\$(?!\{)|[^\s'"\\$]"""
_SHELL_LINE, _SHELL_WORD = re.compile(rf"(?:{_SHELL}|\s)*\\?"), re.compile(f"(?:{_SHELL})+")


def split(text: str, escape: str) -> list[str]:
    """The words of a text, with their quotes; a quote that nothing ends goes to the end of it."""
    return [found[0] for found in _word(escape).finditer(text)]


@cache
def _word(escape: str) -> re.Pattern[str]:
    own = re.escape(escape)
    return re.compile(rf"""(?:'[^']*(?:'|$)|"(?:{own}.|[^"{own}])*(?:"|$)|{own}.|[^\s'"{own}])+""")


def flags(text: str) -> tuple[tuple[str, ...], str]:
    """The flags at the beginning of an instruction, their quotes taken off, and what comes after them."""
    found: list[str] = []
    rest = text.lstrip()
    while rest.startswith("--") and (matched := _FLAG.match(rest)):
        rest = rest[matched.end() :].lstrip()
        if matched[0] == "--":
            break
        found.append("".join(_bare(part) for part in _PART.finditer(matched[0])))
    return tuple(found), rest


def _bare(part: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", next(each for each in part.groups() if each is not None))


def heredocs(line: str) -> list[tuple[str, bool]]:
    """The here-documents that follow a line: the word that ends each, and whether tabs may go before that.

    A line with a quote that nothing ends has none.
    """
    if "<<" not in line or not _SHELL_LINE.fullmatch(line):
        return []
    told = (_HEREDOC.fullmatch(each[0]) for each in _SHELL_WORD.finditer(line))
    return [(bare(each[2]), bool(each[1])) for each in told if each]


def expand(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """A word without its quotes, its variables replaced (Dockerfile reference, environment replacement).

    Unknown variables are empty; what only newer BuildKits can do with a variable stays as it is written.
    """
    return "".join(_pieces(text, values, escape))


def bare(text: str, escape: str = "\\") -> str:
    """A word without its quotes, its variables as they are written."""
    return "".join(_pieces(text, None, escape))


def _pieces(text: str, values: Mapping[str, str] | None, escape: str) -> Iterator[str]:
    at, quoted = 0, False
    while at < len(text):
        char = text[at]
        if char == "'" and not quoted:
            end = text.find("'", at + 1) % (len(text) + 1)  # without an end: to that of the text
            yield text[at + 1 : end]
            at = end + 1
        elif char == '"':
            quoted, at = not quoted, at + 1
        elif char == escape:
            after = text[at + 1 : at + 2]
            yield after if not quoted or after in ('"', "$", escape) else escape + after
            at += 2
        elif char == "$" and values is not None:
            value, at = _variable(text, at, values, escape)
            yield value
        else:
            yield char
            at += 1


def _variable(text: str, at: int, values: Mapping[str, str], escape: str) -> tuple[str, int]:
    """What stands for the variable at a place, and where it ends."""
    braced = text.startswith("{", at + 1)
    found = _NAME.match(text, at + 1 + braced)
    if found is None:
        return "$", at + 1
    known = values.get(found[0])
    if not braced:
        return known or "", found.end()
    end = _closing(text, found.end())
    told = text[found.end() : end]
    how = _KNOWN.match(told)
    if (told and not how) or end == len(text):
        return text[at : end + 1], end + 1
    if how:
        there = bool(known) if how[0].startswith(":") else known is not None
        word = "".join(_pieces(told[how.end() :], values, escape))
        known = (word if there else "") if how[0].endswith("+") else (known if there else word)
    return known or "", end + 1


def _closing(text: str, at: int) -> int:
    """Where the brace ends that is open at a place; another one may be in it."""
    depth = 1
    for end in range(at, len(text)):
        depth += (text[end] == "{") - (text[end] == "}")
        if not depth:
            return end
    return len(text)

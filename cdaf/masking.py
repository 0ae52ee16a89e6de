"""Blanking out the secrets that a test was given, in everything that it says or leaves."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

from cdaf.errors import UsageError, faults

BLANK = "***"
_SHORTEST_LINE = 8


class Mask:
    """The spellings of all secrets, longest first; falsy when there is none."""

    __slots__ = ("_spellings",)

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {spelling for value in values if value for spelling in _spellings(value)}
        self._spellings = sorted(found, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._spellings)

    def __call__(self, text: str) -> str:
        """The text with every spelling of every secret blanked out."""
        for spelling in self._spellings:
            text = text.replace(spelling, BLANK)
        return text


def bind(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The values of the declared secrets. Raises UsageError that names every one that is not set."""
    missing = [f"{name} is not set" for name in names if not environ.get(name)]
    if missing:
        raise UsageError(faults("smoke.secrets", missing), "set each of them in the environment of this command")
    return {name: environ[name] for name in names}


def _spellings(value: str) -> set[str]:
    """A secret as it stands, and as URLs, JSON, XML and Base64 spell it; the lines of a longer one as well."""
    parts = {value, value.strip(), *(line for line in value.splitlines() if len(line) >= _SHORTEST_LINE)}
    found = set(parts)
    for part in parts:
        found |= {quote(part), quote(part, safe=""), quote_plus(part), escape(part), quoteattr(part)[1:-1]}
        found |= {json.dumps(part)[1:-1], repr(part)[1:-1], base64.b64encode(part.encode()).decode()}
    return found - {""}

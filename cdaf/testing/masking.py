"""Blanking out the secrets that a test was given, in everything that it says or leaves."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

from cdaf.errors import CdafError, UsageError, faults

BLANK = "***"
_SHORTEST_LINE = 8


Mask = Callable[[str], str]


def mask(values: Iterable[str] = ()) -> Mask:
    """A function that blanks out every spelling of every value in a text."""
    found = {spelling for value in values if value for spelling in _spellings(value)}
    spellings = sorted(found, key=len, reverse=True)

    def masked(text: str) -> str:
        for spelling in spellings:
            text = text.replace(spelling, BLANK)
        return text

    return masked


def error(known: CdafError, masked: Mask) -> CdafError:
    """The same error with nothing of a secret in any of its texts."""
    known.message, known.hint, known.output = map(masked, (known.message, known.hint, known.output))
    known.args = (known.message,)
    return known


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

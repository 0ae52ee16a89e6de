"""What containers say, as text: without what drives a terminal (ECMA-48 control functions)."""

import re

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # strings: titles, links
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")


def plain(text: str) -> str:
    """The text without escape sequences; of other control characters only tabs and line ends stay.

    Where a carriage return begins a line anew, as progress meters do, stands a blank.
    """
    if text.isprintable():
        return text
    return _CONTROLS.sub(_blank, _SEQUENCES.sub("", text.replace("\r\n", "\n").removesuffix("\r")))


def _blank(found: re.Match[str]) -> str:
    return " " if "\r" in found[0] else ""

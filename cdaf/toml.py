"""The one reader of TOML: what would eat the memory of the machine is refused before it is parsed."""

import tomllib
from typing import Any

_MOST = 1000  # dots in one line: the parser's memory grows with the square of a key's depth


def decode(data: bytes) -> dict[str, Any]:
    """What a file's bytes say. Raises ValueError, or RecursionError for values that are nested too deep."""
    text = data.decode()
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > _MOST:
            raise ValueError(f"line {number} has more than {_MOST} dots, and no key is that deep")
    return tomllib.loads(text)

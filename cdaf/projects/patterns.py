"""Glob patterns of `cdaf.toml` over names with `/`: `*` and `?` within a component, `**` over any number of them."""

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression that matches whole names."""
    parts = []
    for part in re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?|\[[^]/]+\])", pattern.removeprefix("./")):
        parts.append(_WILD.get(part) or (part if part.startswith("[") and part.endswith("]") else re.escape(part)))
    return re.compile("".join(parts), re.DOTALL)


_WILD = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern matches; a folder's name alone stands for all below it."""
    folder = pattern.rstrip("/") + "/"
    expression = compiled(pattern)
    return [name for name in names if expression.fullmatch(name) or name.startswith(folder)]

"""BuildKit's log in its plain form, of which a line is `#7 TEXT`, the first of a number its step's name."""

import re
from collections.abc import Callable

_LINE = re.compile(r"#([1-9][0-9]*) (.*)")  # number 0 is the builder's own word


def reader(say: Callable[[str], None]) -> Callable[[str], None]:
    """What takes the log line by line, and says the name of a step when it begins, and when the log returns to it."""
    names: dict[str, str] = {}
    current = ""

    def read(line: str) -> None:
        nonlocal current
        found = _LINE.fullmatch(line)
        if found and found[1] != current:
            current = found[1]
            say(names.setdefault(current, found[2]))

    return read

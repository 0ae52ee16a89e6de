"""BuildKit's log in its plain form, of which a line is `#7 TEXT`, the first of a number its step's name."""

import re
from collections.abc import Callable, Iterator

_LINE = re.compile(r"#([1-9][0-9]*) (.*)")  # number 0 is the builder's own word
_IMAGE = re.compile(
    r"(?:\[[^\]]*\] )?(?:(?:load metadata for|resolve image config for|FROM) (?:docker-image://)?|docker-image://)(\S+)"
)
_ERROR = re.compile(r"error: (?:failed to \w+: )*(.*)", re.IGNORECASE)


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


def images(said: str) -> Iterator[str]:
    """The images that a build looked up or took, as the names of its steps tell them; what a step says is no name."""
    names: dict[str, str] = {}
    for line in said.split("\n"):
        if found := _LINE.fullmatch(line.rstrip("\r")):
            names.setdefault(found[1], found[2])
    yield from dict.fromkeys(found[1] for each in names.values() if (found := _IMAGE.fullmatch(each)))


def cause(said: str) -> str:
    """What BuildKit itself gives as the reason that a build failed, its last word; empty when it gives none."""
    told = [found[1] for line in said.split("\n") if (found := _ERROR.match(line))]
    return told[-1].strip() if told else ""

"""Reading a Dockerfile as far as its images are concerned: stages, what each takes from others, and global arguments.

The rules are those of the Dockerfile reference; what a build does with the rest is BuildKit's affair.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

import msgspec

from cdaf.errors import ProjectError, faults
from cdaf.languages._docker import lines, words
from cdaf.languages._docker.lines import Line

_WORDS = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
_FROM = re.compile(
    rf"(?P<base>[^{words.SPACE}]+)(?:[{words.SPACE}]+AS[{words.SPACE}]+(?P<name>[^{words.SPACE}]+))?", re.IGNORECASE
)
_EPOCH = "SOURCE_DATE_EPOCH"
_URL = re.compile(r"(?<![^\s\[\"',])(?:\w+://|git@)[^\s\"',]+")


class Stage(msgspec.Struct, frozen=True):
    """One stage: what it is FROM, as written, the names that it copies or mounts from, and the URLs that it adds."""

    number: int
    name: str
    base: str
    uses: tuple[str, ...]
    ports: tuple[int, ...] = ()
    fetched: tuple[str, ...] = ()


class Dockerfile(msgspec.Struct, frozen=True):
    """What was read; `arguments` are those before the first FROM, `taken` the names of all that any ARG takes.

    `epoch` says whether a build may see the commit's time.
    """

    stages: tuple[Stage, ...]
    arguments: tuple[tuple[str, str | None], ...] = ()
    syntax: str = ""
    epoch: bool = False
    taken: tuple[str, ...] = ()
    escape: str = "\\"


def parse(data: bytes, name: str) -> Dockerfile:
    """Read a Dockerfile; `name` is for messages. Raises ProjectError with all that is wrong with it."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ProjectError(f"{name} is not text", "name a Dockerfile in docker.file") from error
    syntax, escape = lines.syntax(text), lines.escape(text)
    read = list(lines.read(text, escape))
    wrong = [f"line {each.number}: unknown instruction {each.word}" for each in read if each.word not in _WORDS]
    wrong = [] if syntax else wrong
    first = next((at for at, each in enumerate(read) if each.word == "FROM"), len(read))
    wrong += [
        f"line {each.number}: {each.word} before the first FROM"
        for each in read[:first]
        if each.word in _WORDS and each.word != "ARG"
    ]
    wrong += [
        f"line {each.number}: FROM takes an image, and a name after AS"
        for each in read[first:]
        if each.word == "FROM" and not _FROM.fullmatch(each.rest)
    ]
    if first == len(read):
        wrong.append("it has no FROM")
    if wrong:
        raise ProjectError(faults(name, wrong), "mend it as the Dockerfile reference says")
    arguments = tuple(pair for each in read[:first] for pair in _arguments(each, escape))
    # What an ONBUILD declares for later builds may be for a later stage of this file.
    taken = dict.fromkeys(name for each in read for name, _ in _arguments(lines.under(each), escape))
    epoch = any(_EPOCH in each for each in (text, *taken))
    return Dockerfile(tuple(_stages(read[first:])), arguments, syntax, epoch, tuple(taken), escape)


def _stages(read: Sequence[Line]) -> Iterator[Stage]:
    starts = [at for at, each in enumerate(read) if each.word == "FROM"]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(read)], strict=True)):
        told = _FROM.fullmatch(read[start].rest)
        assert told is not None
        own = read[start + 1 : end]
        ports = (int(port) for each in own if each.word == "EXPOSE" for port in re.findall(r"\b(\d{1,5})\b", each.rest))
        uses = dict.fromkeys(name for each in own for name in _uses(each))
        fetched = (url for each in own if each.word == "ADD" for url in _URL.findall(each.rest))
        yield Stage(number, (told["name"] or "").lower(), told["base"], tuple(uses), tuple(ports), tuple(fetched))


def _uses(line: Line) -> Iterator[str]:
    """What COPY and the mounts of RUN take from; only flags say so, not what a command is told."""
    for flag in line.flags:
        name, _, value = flag.partition("=")
        if line.word in ("COPY", "ADD") and name == "--from":
            yield value
        elif line.word == "RUN" and name == "--mount":
            pairs = (each.partition("=") for each in _fields(value))
            yield from (told for key, _, told in pairs if key.lower() == "from" and told)


def _fields(mount: str) -> list[str]:
    try:
        return next(csv.reader([mount]), [])
    except csv.Error:  # BuildKit says what is wrong with it
        return mount.split(",")


def _arguments(line: Line, escape: str) -> Iterator[tuple[str, str | None]]:
    """The arguments that an instruction declares, with their defaults as written."""
    for each in words.split(line.rest, escape) if line.word == "ARG" else ():
        name, given, value = each.partition("=")
        yield words.bare(name, escape), value if given else None

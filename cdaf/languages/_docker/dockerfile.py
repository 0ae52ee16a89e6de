"""Reading a Dockerfile as far as its images are concerned: stages, what each takes from others, and global arguments.

The rules are those of the Dockerfile reference; what a build does with the rest is BuildKit's affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from cdaf.errors import ProjectError, faults

_WORDS = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"(?:^|(?<=\s))\d*<<(-?)(['\"]?)([^\s<'\"]+)\2(?=\s|$)")
_FROM = re.compile(r"(?:--platform=(?P<platform>\S+)\s+)?(?P<base>[^\s-]\S*)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_FLAG = re.compile(r"--from=(\S+)")
_MOUNT = re.compile(r"--mount=(\S+)")
_URL = re.compile(r"(?<![^\s\[\"',])(?:\w+://|git@)[^\s\"',]+")
_ARGUMENT = re.compile(r"""([A-Za-z_]\w*)(?:=("[^"]*"|'[^']*'|\S*))?""")


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


class _Line(msgspec.Struct, frozen=True):
    number: int
    word: str
    rest: str


def parse(data: bytes, name: str) -> Dockerfile:
    """Read a Dockerfile; `name` is for messages. Raises ProjectError with all that is wrong with it."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ProjectError(f"{name} is not text", "name a Dockerfile in docker.file") from error
    directives = _directives(text)
    syntax = directives.get("syntax", "")
    lines = list(_lines(text, directives.get("escape", "\\")))
    wrong = [f"line {each.number}: unknown instruction {each.word}" for each in lines if each.word not in _WORDS]
    wrong = [] if syntax else wrong
    first = next((at for at, each in enumerate(lines) if each.word == "FROM"), len(lines))
    wrong += [
        f"line {each.number}: {each.word} before the first FROM"
        for each in lines[:first]
        if each.word in _WORDS and each.word != "ARG"
    ]
    wrong += [
        f"line {each.number}: FROM takes an image, and a name after AS"
        for each in lines[first:]
        if each.word == "FROM" and not _FROM.fullmatch(each.rest)
    ]
    if first == len(lines):
        wrong.append("it has no FROM")
    if wrong:
        raise ProjectError(faults(name, wrong), "mend it as the Dockerfile reference says")
    arguments = tuple(pair for each in lines[:first] if each.word == "ARG" for pair in _arguments(each.rest))
    taken = dict.fromkeys(name for each in lines for name in _taken(each))
    return Dockerfile(tuple(_stages(lines[first:])), arguments, syntax, "SOURCE_DATE_EPOCH" in text, tuple(taken))


def _directives(text: str) -> dict[str, str]:
    """Parser directives: comments before anything else, the first line that is none ends them."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        told = _DIRECTIVE.match(line.strip())
        if told is None:
            break
        found.setdefault(told[1].lower(), told[2])
    return found


def _lines(text: str, escape: str) -> Iterator[_Line]:
    """Whole instructions: continuations joined, comments and the bodies of here-documents left out."""
    rows = enumerate(text.removeprefix("\ufeff").splitlines(), 1)
    for number, row in rows:
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        whole = row.strip()
        while whole.endswith(escape):
            more = next((line for _, line in rows if line.strip() and not line.lstrip().startswith("#")), "")
            whole = f"{whole.removesuffix(escape).rstrip()} {more.strip()}".rstrip()
        word, _, rest = whole.partition(" ")
        yield _Line(number, word.upper(), rest.strip())
        for dash, _, end in _HEREDOC.findall(rest) if word.upper() in ("RUN", "COPY", "ADD") else ():
            for _, line in rows:
                if (line.lstrip("\t") if dash else line) == end:
                    break


def _stages(lines: Sequence[_Line]) -> Iterator[Stage]:
    starts = [at for at, each in enumerate(lines) if each.word == "FROM"]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(lines)], strict=True)):
        told = _FROM.fullmatch(lines[start].rest)
        assert told is not None
        own = lines[start + 1 : end]
        ports = (int(port) for each in own if each.word == "EXPOSE" for port in re.findall(r"\b(\d{1,5})\b", each.rest))
        uses = dict.fromkeys(name for each in own for name in _uses(each))
        fetched = (url for each in own if each.word == "ADD" for url in _URL.findall(each.rest))
        yield Stage(number, (told["name"] or "").lower(), told["base"], tuple(uses), tuple(ports), tuple(fetched))


def _uses(line: _Line) -> Iterator[str]:
    if line.word in ("COPY", "ADD"):
        yield from _FLAG.findall(line.rest)
    elif line.word == "RUN":
        for mount in _MOUNT.findall(line.rest):
            yield from (part.partition("=")[2] for part in mount.split(",") if part.startswith("from="))


def _taken(line: _Line) -> Iterator[str]:
    """The arguments that an instruction declares; one for later builds may be for a later stage of this file."""
    word, _, rest = line.rest.partition(" ")
    if line.word == "ARG" or (line.word == "ONBUILD" and word.upper() == "ARG"):
        yield from (name for name, _ in _arguments(line.rest if line.word == "ARG" else rest))


def _arguments(text: str) -> Iterator[tuple[str, str | None]]:
    for name, value in _ARGUMENT.findall(text):
        given = re.search(rf"\b{name}=", text)
        yield name, value.strip("\"'") if given else None

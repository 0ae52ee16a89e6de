"""What can be told of a Gemfile without Ruby: the plain lines, taken as written; all else is named as not judged.

A Gemfile is a program. Its `gem` lines with literal arguments, and the blocks `group`, `source`, `git`, `path` and
`platforms` around them, say which groups a gem is in and what is asked for. A line with anything else in it is not
judged: nothing follows from it, and its gems count as the lock has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

DEFAULT = "default"
_STRING = re.compile(r""""(?:[^"\\#]|\\.|#(?!\{))*"|'(?:[^'\\]|\\.)*'""")
_SYMBOL = re.compile(r""":(?:[A-Za-z_][A-Za-z0-9_]*[?!]?|"[^"\\#]*")""")
_WORDS = re.compile(r"%[wWiI](?:\[([^\]#]*)\]|\(([^)#]*)\)|\{([^}#]*)\})")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(?!:)|:([A-Za-z_][A-Za-z0-9_]*)\s*=>|([\"'])([A-Za-z_]+)\3\s*=>")
_CALL = re.compile(r"([a-z_]+)(?:\s*\(\s*|\s+|$)(.*)", re.DOTALL)
_BLOCK = re.compile(r"\s+do(?:\s*\|[^|]*\|)?$")
_OPENS = re.compile(r"(?:if|unless|case|begin|while|until|for|def|class|module)\b")
# Platforms of Gemfiles that Ruby itself is, on Linux (Bundler::CurrentRuby); with a version behind, of that version.
_MRI = re.compile(r"(?:ruby|mri)(?:_(\d)(\d+))?")

Literal = str | bool | None | list["Literal"]


class Entry(msgspec.Struct, frozen=True):
    """A `gem` line: `groups` it is in, requirements as written, the `platforms` it is limited to.

    `judged` is false where the line or a block around it holds more than literals.
    """

    name: str
    line: int
    requirements: tuple[str, ...] = ()
    groups: tuple[str, ...] = (DEFAULT,)
    platforms: tuple[str, ...] = ()
    judged: bool = True


class Gemfile(msgspec.Struct, frozen=True):
    """A Gemfile as far as it could be told: `unjudged` are numbers of lines that nothing is known of.

    `ruby` are the requirements for Ruby; `specs` says that a gemspec's own dependencies are asked for too; `optional`
    are groups that are left out unless they are asked for.
    """

    entries: tuple[Entry, ...]
    unjudged: tuple[int, ...] = ()
    ruby: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    specs: bool = False
    forced: tuple[str, ...] = ()  # gems with force_ruby_platform
    files: tuple[str, ...] = ()  # what it reads beside itself, by literal names
    sources: tuple[str, ...] = ()  # the indexes that it names
    ruby_file: str = ""  # the file that says which Ruby it asks for


class _Block(msgspec.Struct, frozen=True):
    """What a block says of the lines in it."""

    groups: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    judged: bool = True


class _Found(msgspec.Struct):
    entries: list[Entry]
    unjudged: list[int]
    ruby: list[str]
    optional: list[str]
    forced: list[str]
    files: list[str]
    sources: list[str]
    blocks: list[_Block]
    specs: bool = False
    ruby_file: str = ""


def read(path: Path) -> Gemfile:
    """A Gemfile, empty where there is none; a file that says which Ruby it asks for is read too."""
    found = parse(path.read_text(errors="replace")) if path.is_file() else Gemfile(())
    beside = path.parent / found.ruby_file
    if not found.ruby_file or not beside.is_file():
        return found
    told = re.search(r"^(?:ruby[- ]+)?(\d[\w.]*)", beside.read_text(errors="replace"), re.MULTILINE)
    return msgspec.structs.replace(found, ruby=(*found.ruby, *([told[1]] if told else [])))


def declared(root: Path) -> tuple[str | None, str | None]:
    """The name and version of a folder's one gemspec, where they are literals."""
    specs = sorted(root.glob("*.gemspec"))
    text = specs[0].read_text(errors="replace") if len(specs) == 1 else ""
    found = [
        re.search(rf"""^\s*\w+\.{key}\s*=\s*["']([\w.-]+)["']""", text, re.MULTILINE) for key in ("name", "version")
    ]
    return found[0] and found[0][1], found[1] and found[1][1]


def parse(text: str) -> Gemfile:
    """What a Gemfile's text says."""
    found = _Found([], [], [], [], [], [], [], [])
    for number, line in _logical(text):
        _line(line, number, found)
    return Gemfile(
        tuple(found.entries),
        tuple(found.unjudged),
        tuple(found.ruby),
        tuple(found.optional),
        found.specs,
        tuple(found.forced),
        tuple(found.files),
        tuple(found.sources),
        found.ruby_file,
    )


def fits(platforms: tuple[str, ...], ruby: str) -> bool:
    """Whether a gem limited to these platforms is for Ruby of this version on Linux."""
    if not platforms:
        return True
    here = tuple(ruby.split(".")[:2])
    found = (_MRI.fullmatch(each) for each in platforms)
    return any(each and (not each[1] or (each[1], each[2]) == here) for each in found)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those joined that go on: after a comma, an operator, an open bracket."""
    held, start = "", 0
    for number, line in enumerate(text.split("__END__\n", 1)[0].splitlines(), 1):
        said = _uncommented(line).strip()
        if not said and not held:
            continue
        start = start or number
        held = f"{held} {said}".strip()
        if held.endswith((",", "\\", "=>", "(", "[", "{", "|", "&&", "+")) or _open(held):
            held = held.removesuffix("\\")
            continue
        yield start, held
        held, start = "", 0
    if held:
        yield start, held


def _uncommented(line: str) -> str:
    bare = _STRING.sub(lambda found: "x" * len(found[0]), line)
    at = next((each.start() for each in re.finditer(r"(?:^|\s)#(?!\{)", bare)), None)
    return line if at is None else line[:at]


def _open(line: str) -> bool:
    bare = _STRING.sub("", line)
    return bare.count("[") > bare.count("]") or bare.count("(") > bare.count(")")


def _line(line: str, number: int, found: _Found) -> None:
    if line == "end":
        if found.blocks:
            found.blocks.pop()
        return
    block = _BLOCK.search(line)
    called = _CALL.fullmatch(line[: block.start()] if block else line)
    name = called[1] if called else ""
    read = _arguments(called[2].rstrip().removesuffix(")") if called and "(" in line else called[2]) if called else None
    if block or _OPENS.match(line):
        found.blocks.append(_opened(name if block else "", read, found))
        if not found.blocks[-1].judged:
            found.unjudged.append(number)
    elif name == "gem":
        _gem(line, number, read, found)
    elif not _plain(name, read, found):
        found.unjudged.append(number)


def _opened(name: str, read: tuple[list[Literal], dict[str, Literal]] | None, found: _Found) -> _Block:
    if read is None or name not in ("group", "platforms", "platform", "source", "git", "github", "path"):
        return _Block(judged=False)
    words, options = _flat(read[0]), read[1]
    if name == "source":
        found.sources += words
    if name == "group":
        if options.get("optional") is True:
            found.optional += words
        return _Block(groups=words)
    return _Block(platforms=words) if name.startswith("platform") else _Block()


def _gem(line: str, number: int, read: tuple[list[Literal], dict[str, Literal]] | None, found: _Found) -> None:
    inside = all(each.judged for each in found.blocks)
    if read is None or not read[0] or not isinstance(read[0][0], str):
        named = re.match(r"gem[\s(]+(['\"])([A-Za-z0-9._-]+)\1", line)
        if named:
            found.entries.append(Entry(named[2], number, judged=False))
        found.unjudged.append(number)
        return
    words, options = _flat(read[0]), read[1]
    groups = [*_flat([options.get("group")]), *_flat([options.get("groups")])]
    groups += [each for block in found.blocks for each in block.groups]
    limits = [*_flat([options.get("platform")]), *_flat([options.get("platforms")])]
    limits += [each for block in found.blocks for each in block.platforms]
    judged = inside and "install_if" not in options
    if options.get("force_ruby_platform") is True:
        found.forced.append(words[0])
    if not judged:
        found.unjudged.append(number)
    found.entries.append(
        Entry(words[0], number, words[1:], tuple(dict.fromkeys(groups)) or (DEFAULT,), tuple(limits), judged)
    )


def _plain(name: str, read: tuple[list[Literal], dict[str, Literal]] | None, found: _Found) -> bool:
    """A line that is no gem's; whether it was understood."""
    if name == "git_source":
        return True  # how later lines may name a repository: the lock has their addresses
    if read is None:
        return False
    if name == "ruby":
        found.ruby += [each for each in read[0] if isinstance(each, str)]
        for each in _flat([read[1].get("file")]):
            found.files.append(each)
            found.ruby_file = each
    elif name == "eval_gemfile":
        found.files += _flat(read[0])
        return False
    elif name == "gemspec":
        found.specs = True
    elif name == "source":
        found.sources += _flat(read[0])
    else:
        return False
    return True


def _flat(values: list[Literal]) -> tuple[str, ...]:
    found: list[str] = []
    for each in values:
        found += _flat(each) if isinstance(each, list) else [each] if isinstance(each, str) else []
    return tuple(found)


def _arguments(text: str) -> tuple[list[Literal], dict[str, Literal]] | None:
    """Positional and named arguments, if all of them are literals."""
    words: list[Literal] = []
    options: dict[str, Literal] = {}
    rest = text.strip()
    while rest:
        key = _KEY.match(rest)
        if key:
            rest = rest[key.end() :].lstrip()
        taken = _literal(rest)
        if taken is None:
            return None
        value, rest = taken
        if key:
            options[key[1] or key[2] or key[4]] = value
        else:
            words.append(value)
        rest = rest.lstrip()
        if rest and not rest.startswith(","):
            return None
        rest = rest[1:].lstrip()
    return words, options


def _literal(text: str) -> tuple[Literal, str] | None:
    if found := _STRING.match(text):
        return re.sub(r"\\(.)", r"\1", found[0][1:-1]), text[found.end() :]
    if found := _WORDS.match(text):
        return list((found[1] or found[2] or found[3] or "").split()), text[found.end() :]
    if found := _SYMBOL.match(text):
        return found[0][1:].strip('"'), text[found.end() :]
    if found := re.match(r"(true|false|nil)\b", text):
        return {"true": True, "false": False, "nil": None}[found[1]], text[found.end() :]
    return _array(text[1:].lstrip()) if text.startswith("[") else None


def _array(text: str) -> tuple[Literal, str] | None:
    found: list[Literal] = []
    while not text.startswith("]"):
        taken = _literal(text)
        if taken is None:
            return None
        found.append(taken[0])
        text = taken[1].lstrip()
        if text.startswith(","):
            text = text[1:].lstrip()
        elif not text.startswith("]"):
            return None
    return found, text[1:]

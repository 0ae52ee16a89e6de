"""A gem's own description, as RubyGems writes it into a gem (YAML) and beside an installed one (Ruby, data alone)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cdaf.errors import ResolveError
from cdaf.languages._ruby import lockfile

_DEEPEST, _MOST = 64, 1_000_000  # levels and events of a description
_PLATFORM = re.compile(r"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e", '"': '\\"', "\\": "\\\\"}
_NOWHEN = "1980-01-02"  # what RubyGems says of a gem without a date
_ORDER = (
    *("authors", "bindir", "cert_chain", "date", "description", "email", "executables", "extensions"),
    *("extra_rdoc_files", "files", "homepage", "licenses", "post_install_message", "rdoc_options"),
    *("required_ruby_version", "requirements", "rubygems_version", "signing_key", "summary"),
)
_DEFAULTS: dict[str, Any] = {"bindir": "bin", "required_ruby_version": [">= 0"]}


class Need(msgspec.Struct, frozen=True):
    """A dependency that a gem declares."""

    name: str
    requirements: tuple[str, ...]
    runtime: bool = True


class Gemspec(msgspec.Struct, frozen=True):
    """What is asked of a gem's description; `text` is the file that says it to RubyGems once it is installed."""

    name: str
    version: str
    platform: str
    text: str
    license: str = ""
    executables: tuple[str, ...] = ()
    bindir: str = "bin"
    extensions: tuple[str, ...] = ()
    require_paths: tuple[str, ...] = ("lib",)
    ruby: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()


def parse(data: bytes, label: str) -> Gemspec:
    """The description in a gem's `metadata.gz`, inflated. Raises ResolveError when it is none, or crafted."""
    import yaml

    base: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _demand_shallow(yaml.parse(data, Loader=base))
        # Base loaders know text, lists and tables alone: Ruby's tags make nothing.
        read = yaml.load(data, Loader=base)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ResolveError(f"{label}: its metadata cannot be read: {error}", "lock another version") from error
    if not isinstance(read, dict):
        raise ResolveError(f"{label}: its metadata is no gem specification", "lock another version")
    return _of(read, label)


def _demand_shallow(events: Iterable[Any]) -> None:
    """Whoever builds values from YAML goes down with it: what is too deep or too much is refused while it is text."""
    depth = 0
    for count, each in enumerate(events):
        name = type(each).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > _DEEPEST or count > _MOST:
            raise ValueError("it is too deep, or holds too much, for any gem")


def _of(read: dict[str, Any], label: str) -> Gemspec:
    needs = tuple(_need(each) for each in _list(read, "dependencies") if isinstance(each, dict))
    name, version = _text(read.get("name")), _version(read.get("version"))
    platform = _text(read.get("platform")) or "ruby"
    paths = _texts(read, "require_paths") or ("lib",)
    licenses = _texts(read, "licenses") or _texts(read, "license")
    found = Gemspec(
        name=name,
        version=version,
        platform=platform,
        text="",
        license=" OR ".join(licenses),
        executables=_texts(read, "executables"),
        bindir=_text(read.get("bindir")) or "bin",
        extensions=_texts(read, "extensions"),
        require_paths=paths,
        ruby=_requirements(read.get("required_ruby_version")),
        needs=needs,
    )
    _demand_sane(found, label)
    return msgspec.structs.replace(found, text=_ruby(found, read))


def _demand_sane(spec: Gemspec, label: str) -> None:
    """Names become paths and Ruby: what could lead elsewhere, or end a comment, is refused."""
    names = [spec.name, *(each.name for each in spec.needs)]
    odd = [each for each in names if not lockfile.NAME.fullmatch(each)]
    odd += [each for each in (spec.platform,) if not _PLATFORM.fullmatch(each)]
    odd += [each for each in (spec.version,) if not lockfile.VERSION.fullmatch(each)]
    odd += [each for each in spec.executables if "/" in each or each.startswith(".") or _CONTROL.search(each)]
    paths = (*spec.require_paths, *spec.extensions, spec.bindir)
    odd += [each for each in paths if _CONTROL.search(each) or each.startswith("/") or ".." in each.split("/")]
    if odd:
        said = ", ".join(map(repr, odd))
        raise ResolveError(f"{label}: its metadata has names that lead out of it: {said}", "lock another version")


def _list(read: Mapping[str, Any], key: str) -> list[Any]:
    value = read.get(key)
    return value if isinstance(value, list) else []


def _texts(read: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = read.get(key)
    values = value if isinstance(value, list) else [value] if isinstance(value, str) and value else []
    return tuple(each for each in values if isinstance(each, str) and each)


def _text(value: Any) -> str:
    """A scalar; what is none would be as long, once written out, as its aliases make it."""
    return value if isinstance(value, str) else ""


def _version(value: Any) -> str:
    return _text(value.get("version") if isinstance(value, dict) else value)


def _requirements(value: Any) -> tuple[str, ...]:
    """A Gem::Requirement: pairs of operator and version; from old RubyGems a list of such, or `none`."""
    listed = value.get("requirements") if isinstance(value, dict) else None
    found = []
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, list) and len(each) == 2:
            found.append(f"{_text(each[0])} {_version(each[1])}")
    return tuple(found)


def _need(each: dict[str, Any]) -> Need:
    asked = each.get("requirement") or each.get("version_requirements")
    runtime = _text(each.get("type", ":runtime")).lstrip(":") == "runtime"
    return Need(_text(each.get("name")), _requirements(asked) or (">= 0",), runtime)


def _ruby(spec: Gemspec, read: Mapping[str, Any]) -> str:
    """The description as RubyGems keeps it beside an installed gem: without the files, but with those it asks for."""
    head = ["# -*- encoding: utf-8 -*-"]
    head.append(f"# stub: {spec.name} {spec.version} {spec.platform} {chr(0).join(spec.require_paths)}")
    if spec.extensions:
        head.append(f"# stub: {chr(0).join(spec.extensions)}")
    lines = [*head, "", "Gem::Specification.new do |s|"]
    lines += [f"  s.name = {dump(spec.name)}", f"  s.version = {dump(spec.version)}"]
    lines += [f"  s.platform = {dump(spec.platform)}"] if spec.platform != "ruby" else []
    asked = _requirements(read.get("required_rubygems_version")) or (">= 0",)
    guarded = "if s.respond_to? :required_rubygems_version="
    lines += ["", f"  s.required_rubygems_version = {_requirement(asked)} {guarded}"]
    if told := read.get("metadata"):
        rows = sorted((_text(key), _text(value)) for key, value in told.items()) if isinstance(told, dict) else []
        pairs = ", ".join(f"{dump(key, '')} => {dump(value, '')}" for key, value in rows)
        lines += [f"  s.metadata = {{ {pairs} }} if s.respond_to? :metadata="] if rows else []
    lines.append(f"  s.require_paths = {_array(spec.require_paths)}")
    values = _values(spec, read)
    lines += [f"  s.{key} = {_code(key, values[key])}" for key in _ORDER if _is_told(key, values.get(key))]
    if spec.needs:
        lines += ["", f"  s.specification_version = {_number(read.get('specification_version'))}", ""]
        lines += map(_dependency, spec.needs)
    return "\n".join([*lines, "end", ""])


def _values(spec: Gemspec, read: Mapping[str, Any]) -> dict[str, Any]:
    beside = [f"{spec.bindir}/{each}" for each in spec.executables]
    documents = _texts(read, "extra_rdoc_files")
    date = re.match(r"\d{4}-\d{2}-\d{2}", _text(read.get("date")))
    found = {key: read.get(key) for key in _ORDER}
    return {
        **found,
        "licenses": list(_texts(read, "licenses") or _texts(read, "license")),
        "date": date[0] if date else _NOWHEN,
        "files": sorted({*beside, *documents, *spec.extensions}),
        "required_ruby_version": list(spec.ruby) or [">= 0"],
    }


def _is_told(key: str, value: Any) -> bool:
    return bool(value) and value != _DEFAULTS.get(key)


def _code(key: str, value: Any) -> str:
    if key.startswith("required_"):
        return _requirement(value)
    if isinstance(value, list):
        return _array([each for each in value if isinstance(each, str)])
    return dump(value, "" if key == "date" else ".freeze") if isinstance(value, str) else "nil"


def _requirement(asked: Sequence[str]) -> str:
    return f"Gem::Requirement.new({dump(asked[0]) if len(asked) == 1 else _array(asked)})"


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(map(dump, values))}]"


def _number(value: Any) -> int:
    return int(value) if re.fullmatch("[0-9]{1,4}", _text(value)) else 4


def _dependency(need: Need) -> str:
    kind = "runtime" if need.runtime else "development"
    return f"  s.add_{kind}_dependency(%q<{need.name}>.freeze, {_array(need.requirements)})"


def dump(text: str, after: str = ".freeze") -> str:
    """A text as a literal of Ruby, ASCII alone (String#dump)."""

    def escaped(at: int, char: str) -> str:
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char == "#" and text[at + 1 : at + 2] in ("{", "$", "@"):
            return "\\#"
        if " " <= char <= "~":
            return char
        code = ord(char)
        return f"\\x{code:02X}" if code < 0x80 else f"\\u{code:04X}" if code <= 0xFFFF else f"\\u{{{code:X}}}"

    return f'"{"".join(escaped(at, char) for at, char in enumerate(text))}"{after}'

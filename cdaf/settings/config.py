"""Reading `cdaf.toml`: every key converted on its own, so that all faults come at once, each with its file and key.

Precedence is flag, environment (`CDAF_<TABLE>_<KEY>`), file, default; where each value came from is kept. Values are
data and never evaluated.
"""

import difflib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from cdaf import places, toml, typed
from cdaf.errors import ProjectError, faults
from cdaf.settings import refusal
from cdaf.settings.settings import Publish, Settings

NAME = "cdaf.toml"
FLAGS = {"image.platforms": "--platform"}  # what the command line calls a key


class Loaded(msgspec.Struct, frozen=True):
    """Settings and, for each key that has a value, which of flag, environment, file or default it came from."""

    settings: Settings
    origins: dict[str, str]
    file: Path


class _Found(msgspec.Struct):
    """The raw values gathered so far, and what is wrong with them."""

    values: dict[str, dict[str, Any]]
    origins: dict[str, str]
    faults: list[str]


def locate(root: Path) -> Path:
    """The file that holds a project's settings. Raises ProjectError when there is none, or more than one."""
    own = root / NAME
    shared = root / "pyproject.toml"
    has_table = shared.is_file() and _own_table(shared) is not None
    if own.is_file() and has_table:
        raise ProjectError(f"both {NAME} and [tool.cdaf] in pyproject.toml configure {root.name}", "keep one of them")
    if own.is_file():
        return own
    if has_table:
        return shared
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder"
        raise ProjectError(f"{root}: {what}", "name the folder of a service")
    raise ProjectError(f"{root}: no {NAME} and no [tool.cdaf] in a pyproject.toml", "run `cdaf init`")


def parse(file: Path) -> dict[str, Any]:
    """A TOML file's content. Raises ProjectError when it is missing or not TOML."""
    try:
        return toml.decode(file.read_bytes())
    except FileNotFoundError as error:
        raise ProjectError(f"{file}: no such file", "check the path") from error
    # Numbers of thousands of digits and thousands of brackets end in these.
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{file.name}: not TOML: {error}", "mend the syntax at that place") from error


def read(root: Path, flags: Mapping[str, object] = {}, environ: Mapping[str, str] = os.environ) -> Loaded:
    """The settings of the project in `root`; `flags` are values by dotted key ("image.platforms").

    Raises ProjectError with all faults, UsageError when only flags have any.
    """
    places.workers()  # no key, yet refused as early as one
    file = locate(root)
    tables = parse(file) if file.name == NAME else _own_table(file)
    if not isinstance(tables, dict):
        raise ProjectError(f"{file.name}: tool.cdaf is not a table", "write it as [tool.cdaf.service] and so on")
    return load(tables, file, flags, environ)


def _own_table(shared: Path) -> object:
    """What a pyproject.toml has as [tool.cdaf], if anything."""
    tools = parse(shared).get("tool")
    return tools.get("cdaf") if isinstance(tools, dict) else None


def load(tables: Mapping[str, Any], file: Path, flags: Mapping[str, object], environ: Mapping[str, str]) -> Loaded:
    """Settings from parsed tables. Raises ProjectError with all faults, UsageError when only flags have any."""
    found = _Found({}, {}, [])
    _from_file(found, tables, file.name)
    _from_environment(found, environ)
    for key, value in flags.items():
        table, _, name = key.partition(".")
        _set(found, table, name, value, FLAGS.get(key, "flag"))
    settings = _convert(found)
    if found.faults or settings is None:
        raise refusal.refuse(file.name, found.origins, found.faults)
    return Loaded(settings, found.origins, file)


def overriding(file: Path, publish: Publish, environments: dict[str, Publish]) -> tuple[Publish, dict[str, Publish]]:
    """What `--config FILE` says at release about publishing, over what the bundle's manifest says.

    Only [publish] and [environments] may be overridden. Raises ProjectError with all faults.
    """
    content = parse(file)
    wrong = [f"[{name}] cannot be set at release" for name in content if name not in ("publish", "environments")]
    found = _Found({}, {}, wrong)
    _from_file(
        found, {name: table for name, table in content.items() if name in ("publish", "environments")}, file.name
    )
    base = msgspec.to_builtins(publish)
    for name in ("publish", "environments"):
        found.values.setdefault(name, {})
    merged = _value(found, "publish", Publish, {**base, **found.values["publish"]})
    named = {name: _environment(found, name, value) for name, value in found.values["environments"].items()}
    if found.faults:
        raise ProjectError(faults(file.name, found.faults), "`cdaf schema` prints every key and its type")
    return merged, {**environments, **named}


def _tables() -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _keys(table: str) -> dict[str, Any]:
    kind = _tables()[table]
    if table == "environments":
        return {}
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _near(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _from_file(found: _Found, tables: Mapping[str, Any], file: str) -> None:
    for table, content in tables.items():
        if table not in _tables():
            found.faults.append(f"unknown table [{table}]{_near(table, list(_tables()))}")
        elif not isinstance(content, dict):
            found.faults.append(f"{table} is not a table")
        else:
            for key, value in content.items():
                _set(found, table, key, value, file)


def _set(found: _Found, table: str, key: str, value: object, origin: str) -> None:
    known = _keys(table)
    if known and key not in known:
        found.faults.append(f"{table}.{key}: unknown key{_near(key, list(known))}")
        return
    found.values.setdefault(table, {})[key] = value
    found.origins[f"{table}.{key}"] = origin


def _from_environment(found: _Found, environ: Mapping[str, str]) -> None:
    for table in _tables():
        for key, kind in _keys(table).items():
            variable = f"CDAF_{table}_{key}".upper()
            if variable in environ:
                try:
                    _set(found, table, key, _from_text(environ[variable], kind), variable)
                except ValueError as error:
                    found.faults.append(f"{variable}: {error}")
        found.faults += _misspelt(table, environ)


def _misspelt(table: str, environ: Mapping[str, str]) -> list[str]:
    """Variables that are nearly a key of a table: ignored, one would change nothing and say nothing. What is not near
    to any may be somebody else's, such as those that checks are told."""
    prefix = f"CDAF_{table}_".upper()
    known = {key.upper() for key in _keys(table)}
    wrong = sorted(each for each in environ if each.startswith(prefix) and each.removeprefix(prefix) not in known)
    near = {each: difflib.get_close_matches(each.removeprefix(prefix), known, 1, 0.75) for each in wrong}
    return [f"{each}: no such setting, did you mean {prefix + close[0]}?" for each, close in near.items() if close]


def _from_text(text: str, kind: Any) -> object:
    """A variable's text as its key's type: JSON where it looks like it, else commas part a list."""
    described = repr(kind)
    if text.startswith(("[", "{")):
        return json.loads(text)
    if "tuple[" in described:
        return [part.strip() for part in text.split(",") if part.strip()]
    if "bool" in described and text in ("true", "false"):
        return text == "true"
    return int(text) if "int" in described and text.isdigit() else text


def _convert(found: _Found) -> Settings | None:
    converted: dict[str, Any] = {}
    for table, kind in _tables().items():
        if table == "environments":
            converted[table] = {
                name: _environment(found, name, value) for name, value in found.values.get(table, {}).items()
            }
            continue
        values = {
            key: _value(found, f"{table}.{key}", _keys(table)[key], value)
            for key, value in found.values.get(table, {}).items()
        }
        converted[table] = kind(**values)
    return None if found.faults else Settings(**converted)


def _environment(found: _Found, name: str, value: object) -> Publish:
    prefix = f"environments.{name}"
    if not isinstance(value, dict):
        found.faults.append(f"{prefix}: expected a table")
        return Publish()
    known = {field.name: field.type for field in msgspec.structs.fields(Publish)}
    found.faults += [f"{prefix}.{key}: unknown key{_near(key, list(known))}" for key in value if key not in known]
    kept = {key: each for key, each in value.items() if key in known}
    return Publish(**{key: _value(found, f"{prefix}.{key}", known[key], each) for key, each in kept.items()})


def _value(found: _Found, key: str, kind: Any, value: object) -> Any:
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) is dict and isinstance(value, dict):
        return {name: _value(found, f"{key}.{name}", get_args(bare)[1], each) for name, each in value.items()}
    try:
        return typed.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        if get_origin(bare) is Literal:
            text = f"{value!r} is not one of {', '.join(get_args(bare))}"
        found.faults.append(f"{key}{inside.removesuffix('`')}: {_plain(text)}{_as_list(key, bare, value)}")
        return value


def _as_list(key: str, kind: Any, value: object) -> str:
    """How text is written where a list is wanted, as far as that is plain."""
    if get_origin(kind) is not tuple or not isinstance(value, str):
        return ""
    try:
        words = shlex.split(value) if get_args(kind)[0] is str else []
    except ValueError:
        return ""
    return f": write {key.rpartition('.')[2]} = {json.dumps(words, ensure_ascii=False)}" if words else ""


def _plain(text: str) -> str:
    """msgspec's message in our terms: lower case, and TOML's words for its types."""
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    text = text.replace("`", "")
    return text[:1].lower() + text[1:]


_WORDS = {
    " | null": "",
    "`array`": "a list",
    "`object`": "a table",
    "`str`": "text",
    "`int`": "a number",
    "`bool`": "true or false",
    "Object contains unknown field": "unknown key",
    "Object missing required field": "missing key",
}

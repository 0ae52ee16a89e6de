"""Writes docs/commands.md and docs/configuration.md from the command line and the settings' types, and README's flow.

`python -m tools.reference` writes them; a test demands that they are current.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import inspect

from cdaf import cli, errors
from cdaf.settings.settings import Settings, User

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
WIDTH = 100
WHO = {
    "UsageError": "the command line",
    "ProjectError": "the project's own files",
    "ResolveError": "a dependency that cannot be had as declared",
    "BundleError": "not a bundle, or changed after sealing",
    "ImageError": "the bundle does not build into an image",
    "SmokeError": "the image does not work",
    "PublishError": "a target refused it",
    "EngineError": "Docker is missing, too old or unreachable",
}
COMMANDS_HEAD = """# Commands

*Made by `tools/reference.py` from the command line itself; change it there.*

Results go to stdout, one a line; everything else to stderr. So commands nest:

    cdaf release "$(cdaf package)" --to registry:registry.example/team/orders

With `--json` a command prints one object instead: its result with `"ok": true`, or
`{"ok": false, "error": {"message": …, "hint": …, "exit_code": …, "transient": …}}`; the error of a failed smoke test
has the paths of its `report` and `record`, too. `doctor`, and `verify` of several files, tell their findings beside the
error. On a terminal progress is live; in a pipe, or where `CI` is set, it is a line for each step with its time.
`NO_COLOR` is honoured.

| variable | |
|---|---|
| `CDAF_CACHE` | folder of the content-addressed cache |
| `CDAF_WORKERS` | layers written at once, 2 if it is not set; nothing that is written hangs on it |
| `CDAF_DOCKER` | the `docker` program to use; default: the first on PATH that has compose |
| `CDAF_PUBLISH_TO` | targets, parted by commas, where `--to` is not given |
| `CDAF_REGISTRY_MIRRORS` | URLs, parted by commas, that stand in for `docker.io`; default: the engine's |
| `CDAF_REGISTRY_USERNAME`, `CDAF_REGISTRY_PASSWORD` | a login for the registry that is published to |
| `CDAF_<TABLE>_<KEY>` | any setting of cdaf.toml, see [configuration](configuration.md) |
"""
SETTINGS_HEAD = """# Configuration

*Made by `tools/reference.py` from the types that read the file; change it there.*

A service is described by `cdaf.toml` beside it, or by `[tool.cdaf]` in its `pyproject.toml`. Only `[service] start`
has to be there. `cdaf init` writes a first one, `cdaf check` lists all faults at once, `cdaf schema` prints a JSON
schema for editors. Values are data: nothing is expanded, evaluated or run by a shell.

A flag wins over the environment, the environment over the file, the file over the default. The variable of a key is
`CDAF_<TABLE>_<KEY>`, such as `CDAF_IMAGE_PLATFORMS=linux/amd64,linux/arm64`: a list is parted by commas, a table or a
list of lists is JSON. `cdaf show --origins` says which value won. A misspelt variable is a fault.

```toml
{example}```

Patterns match whole paths of files that git tracks, relative to the service: `*` and `?` stay within a folder, `**`
spans any number of them, and the name of a folder stands for all that is in it. A pattern that matches nothing is a
fault; of `image.exclude`, which is about the files of dependencies, it is only told. Files that a pattern would take if
git tracked them are named in a warning.
"""
ENVIRONMENTS = """\
Named sets of targets, each with the keys of `[publish]`. `cdaf release FILE --to NAME` publishes to one by its
exact name.
"""
EXAMPLE = """\
[service]
start = ["gunicorn", "orders.wsgi:app", "--bind", "0.0.0.0:8000"]
port = 8000
include = ["migrations/**", "alembic.ini"]
env = { LOG_LEVEL = "info" }
state = ["/app/state"]

[image]
base = "python:3.13-slim"
platforms = ["linux/amd64", "linux/arm64"]

[smoke]
health = "/healthz"
before = [["alembic", "upgrade", "head"]]
sidecars = ["postgres:17", "redis:7"]
group = "smoke"
checks = ["pytest", "-q", "smoke/"]
restart = true
untested = ["linux/arm64"]

[publish]
to = ["registry:registry.example/team/orders"]
tags = ["sha-{commit}", "{version}"]
moving = ["latest", "{major}.{minor}"]

[environments.production]
to = ["registry:registry.example/production/orders"]
"""


def commands() -> str:
    """docs/commands.md."""
    parts = [COMMANDS_HEAD, _exit_codes()]
    for title, names in cli.SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_command(name) for name in names]
    return "\n".join(parts)


def configuration() -> str:
    """docs/configuration.md."""
    parts = [SETTINGS_HEAD.replace("{example}", EXAMPLE)]
    for field in msgspec.structs.fields(Settings):
        if field.name == "environments":
            parts += ["## [environments.NAME]\n", ENVIRONMENTS]
        else:
            parts += [f"## [{field.name}]\n", *_table(field.type)]
            if field.name == "service":
                parts += ["### user\n", *_table(User)]
    return "\n".join(parts)


def flow() -> str:
    """The two functions of `cdaf/flow.py` without imports and options, as they stand in the README."""
    tree = ast.parse((ROOT / "cdaf" / "flow.py").read_text())
    shown = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for node in shown:
        node.args = ast.arguments([], [ast.arg(each.arg) for each in node.args.args], None, [], [], None, [])
        node.returns = None
        node.body = [each for each in node.body if not isinstance(each, ast.ImportFrom)]
    text = "\n\n\n".join(ast.unparse(node) for node in shown)
    return re.sub(r"'(\w+)'", r'"\1"', text)


def readme() -> str:
    """README.md with today's flow."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"(?<=```python\n)def package.*?(?=\n```)", lambda _: flow(), text, flags=re.DOTALL)


def main() -> None:
    """Write all of them."""
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
    (DOCS / "commands.md").write_text(commands(), encoding="utf-8")
    (DOCS / "configuration.md").write_text(configuration(), encoding="utf-8")


def _exit_codes() -> str:
    classes = {name: getattr(errors, name).exit_code for name in WHO}
    rows = [f"| {code} | {name} | {WHO[name]} |" for name, code in classes.items()]
    rows += [
        f"| {errors.EXIT_TRANSIENT} | any, transient | try again later: network, rate limits, a full disk |",
        f"| {errors.EXIT_INTERRUPTED} | | interrupted |",
        "| 1 | | a fault of this machine, or of cdaf itself |",
    ]
    return "\n".join(["| exit | class | who can mend it |", "|---|---|---|", *rows, ""])


def _command(name: str) -> str:
    command = cli.cdaf.get_command(click.Context(cli.cdaf), name)
    assert command is not None
    parent = click.Context(cli.cdaf, info_name="cdaf", **cli.cdaf.context_settings)
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
    return f"### cdaf {name}\n\n```text\n{command.get_help(context)}\n```\n"


def _table(kind: Any) -> list[str]:
    about = (kind.__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{field.name}` | {_type(field.type)} | {_default(field)} | {_about(field.type)} |"
        for field in _fields(kind)
    ]
    return [
        f"{about}\n",
        "| key | type | default | |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _fields(kind: Any) -> tuple[inspect.Field, ...]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return described.fields


def _about(kind: inspect.Type) -> str:
    schema = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return str((schema or {}).get("description", ""))


def _type(kind: inspect.Type) -> str:
    """A type in TOML's words."""
    if isinstance(kind, inspect.Metadata):
        return _type(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_type(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.IntType):
        bounds = [f"from {kind.ge}" if kind.ge is not None else "", f"to {kind.le}" if kind.le is not None else ""]
        return " ".join(["number", *filter(None, bounds)])
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(f"`{each}`" for each in kind.values)
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_plural(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"table of {_plural(kind.value_type)}"
    if isinstance(kind, inspect.StructType):
        return "table"
    return {inspect.StrType: "text", inspect.BoolType: "true or false"}[type(kind)]


def _plural(kind: inspect.Type) -> str:
    return "lists of text" if isinstance(kind, inspect.VarTupleType) else _type(kind)


def _default(field: inspect.Field) -> str:
    if field.required:
        return "*required*"
    value = field.default_factory() if callable(field.default_factory) else field.default
    if isinstance(value, msgspec.Struct):
        return "see below"
    return f"`{json.dumps(value)}`" if value not in (None, (), {}, []) else ""


if __name__ == "__main__":
    main()

"""Arguments and options that several commands share, each spelt once."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def json(command: _Command) -> _Command:
    """--json; what it does is the console's business, which saw it already."""
    return click.option(
        "--json", "as_json", is_flag=True, expose_value=False, help="Print one JSON object instead of lines."
    )(command)


def project(command: _Command) -> _Command:
    """PATH, the folder of a service."""
    return click.argument("path", type=click.Path(path_type=Path), default=Path(), metavar="[PATH]")(command)


def bundle(command: _Command) -> _Command:
    """FILE, a bundle."""
    return click.argument("file", type=click.Path(path_type=Path), metavar="FILE")(command)


def platforms(command: _Command) -> _Command:
    """--platform, any number of times."""
    return click.option(
        "--platform",
        "platforms",
        multiple=True,
        metavar="P",
        help="Only this platform, such as linux/amd64. May be repeated.",
    )(command)


def keep(command: _Command) -> _Command:
    """--keep, for looking at what a smoke test left."""
    return click.option("--keep", is_flag=True, help="Leave containers and networks of the smoke test up.")(command)


def targets(command: _Command) -> _Command:
    """--to, any number of times."""
    return click.option(
        "--to",
        multiple=True,
        metavar="T",
        callback=_targets,
        help="Publish there: KIND:WHERE, or an environment of the bundle by name. May be repeated.",
    )(command)


def record(command: _Command) -> _Command:
    """--record, the release record's place."""
    return click.option(
        "--record",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The release record. Default: beside the bundle.",
    )(command)


def config(command: _Command) -> _Command:
    """--config, publishing settings of the releasing side."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML whose [publish] and [environments] win over the bundle's.",
    )(command)


def _targets(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Targets of the command line, else those of `CDAF_PUBLISH_TO`, parted by commas."""
    if value:
        return value
    return tuple(filter(None, (part.strip() for part in os.environ.get("CDAF_PUBLISH_TO", "").split(","))))

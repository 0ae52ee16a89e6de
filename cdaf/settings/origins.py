"""Which value of each setting won, and where it came from: flag, environment, file or default."""

from pathlib import Path
from typing import Any

import msgspec

from cdaf.settings import config
from cdaf.settings.settings import Settings


class Origin(msgspec.Struct, frozen=True):
    """One key's value as TOML would show it, and its origin: a file's name, a variable's name or `default`."""

    key: str
    value: Any
    origin: str


def find(root: Path) -> list[Origin]:
    """Every key of the project's settings, in the schema's order. Raises ProjectError with all faults of the file."""
    loaded = config.read(root)
    return list(_walk(loaded.settings, loaded.origins))


def _walk(settings: Settings, origins: dict[str, str]) -> list[Origin]:
    found: list[Origin] = []
    for table in msgspec.structs.fields(Settings):
        value = getattr(settings, table.name)
        if isinstance(value, dict):
            named = {f"{table.name}.{name}": msgspec.to_builtins(each) for name, each in value.items()}
            found += [Origin(key, each, origins.get(key, "default")) for key, each in named.items()]
            continue
        for field in msgspec.structs.fields(value):
            key = f"{table.name}.{field.name}"
            found.append(Origin(key, _plain(getattr(value, field.name)), origins.get(key, "default")))
    return found


def _plain(value: Any) -> Any:
    """Data with defaults spelt out, which `to_builtins` would leave out."""
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)

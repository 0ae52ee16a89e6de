"""The JSON schema of `cdaf.toml`, made from the types that read it."""

import json
from typing import Any

import msgspec

from cdaf.settings.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build() -> dict[str, Any]:
    """The schema (draft 2020-12) of the whole file; as `[tool.cdaf]` in pyproject.toml it holds for that table."""
    made = msgspec.json.schema(Settings)
    return {"$schema": DIALECT, "title": "cdaf.toml", **made}


def text() -> str:
    """The schema as indented JSON."""
    return json.dumps(build(), indent=2)

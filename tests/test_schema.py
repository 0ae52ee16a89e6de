"""The schema says of cdaf.toml what the reader says."""

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdaf.errors import ProjectError
from cdaf.settings import schema
from cdaf.settings.config import load

if TYPE_CHECKING:
    import jsonschema

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(ROOT.glob("examples/*/cdaf.toml"))


@cache
def validator() -> "jsonschema.Draft202012Validator":
    import jsonschema  # reads grammars at once: seconds, which every process that only collects tests would take

    return jsonschema.Draft202012Validator(schema.build())


def test_it_is_a_schema() -> None:
    validator().check_schema(schema.build())
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_valid(path: Path) -> None:
    validator().validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        '[service]\nstart = "gunicorn"',
        "[service]\nstart = []",
        '[service]\nstart = ["x"]\nport = 70000',
        '[service]\nstart = ["x"]\nprot = 8000',
        '[service]\nstart = ["x"]\n[imgae]\nbase = "y"',
        '[service]\nstart = ["x"]\n[image]\nplatforms = []',
        '[service]\nstart = ["x"]\n[smoke]\nbefore = ["alembic"]',
        '[service]\nstart = ["x"]\n[smoke]\nrestart = "yes"',
        '[service]\nstart = ["x"]\n[environments.prod]\nt0 = ["layout:x"]',
    ],
)
def test_schema_and_reader_refuse_the_same(text: str) -> None:
    tables = tomllib.loads(text)
    assert not validator().is_valid(tables)
    with pytest.raises(ProjectError):
        load(tables, Path("cdaf.toml"), {}, {})


def test_every_key_is_described() -> None:
    for name, table in schema.build()["$defs"].items():
        assert table.get("description"), name
        for key, value in table["properties"].items():
            assert value.get("description") or "$ref" in value, f"{name}.{key}"


def test_the_command_prints_it() -> None:
    for more in ([], ["--json"]):
        done = subprocess.run([sys.executable, "-m", "cdaf", "schema", *more], capture_output=True, check=True)
        assert done.stdout.decode() == schema.text() + "\n"

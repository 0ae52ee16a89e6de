"""The reference in docs/ is what the types and the command line say today."""

import tomllib
from pathlib import Path

import pytest

from cdaf import config, rules
from tools import reference


@pytest.mark.parametrize("name", ["commands", "configuration"])
def test_reference_is_current(name: str) -> None:
    made = getattr(reference, name)()
    assert (reference.DOCS / f"{name}.md").read_text() == made, "run `make fmt`, or `python -m tools.reference`"


def test_the_example_is_without_faults() -> None:
    loaded = config.load(tomllib.loads(reference.EXAMPLE), Path("cdaf.toml"), {}, {})
    assert rules.broken(loaded.settings) == []

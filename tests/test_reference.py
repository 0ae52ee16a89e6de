"""The reference in docs/ is what the types and the command line say today."""

import re
import tomllib
from pathlib import Path

import pytest

from cdaf.projects import rules
from cdaf.settings import config
from tools import reference


@pytest.mark.parametrize("name", ["commands", "configuration"])
def test_reference_is_current(name: str) -> None:
    made = getattr(reference, name)()
    assert (reference.DOCS / f"{name}.md").read_text() == made, "run `make fmt`, or `python -m tools.reference`"


def test_the_flow_in_the_readme_is_current() -> None:
    text = (reference.ROOT / "README.md").read_text()
    assert text == reference.readme(), "run `make fmt`, or `python -m tools.reference`"
    assert reference.flow() in text


def test_documents_link_to_what_is_there() -> None:
    for page in (reference.ROOT / "README.md", *reference.DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_shown_settings_are_without_faults(page: str) -> None:
    shown = re.findall(r"```toml\n(.*?)```", (reference.ROOT / page).read_text(), re.DOTALL)
    assert shown
    for text in shown:
        loaded = config.load(tomllib.loads(text), Path("cdaf.toml"), {}, {})
        assert rules.broken(loaded.settings) == []

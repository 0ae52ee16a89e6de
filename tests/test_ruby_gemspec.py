"""Gems' descriptions are data: nothing in one becomes Ruby, and none brings down who reads it."""

import pytest

from cdaf.errors import ResolveError
from cdaf.languages._ruby import gemspec

PLAIN = "--- !ruby/object:Gem::Specification\nname: thing\nversion: !ruby/object:Gem::Version\n  version: 1.0.0\n"


def aliases(levels: int) -> str:
    lines = ["j0: &j0 [x, x]"] + [f"j{n}: &j{n} [{', '.join([f'*j{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def test_what_is_asked_of_a_description() -> None:
    found = gemspec.parse((PLAIN + "platform: ruby\nlicenses:\n- MIT\n").encode(), "thing")
    assert (found.name, found.version, found.platform, found.license) == ("thing", "1.0.0", "ruby", "MIT")
    assert 's.name = "thing".freeze' in found.text


def test_aliases_as_old_rubygems_wrote_them_are_read() -> None:
    needs = (
        "dependencies:\n- !ruby/object:Gem::Dependency\n  name: other\n  type: :runtime\n"
        "  requirement: &id001 !ruby/object:Gem::Requirement\n    requirements:\n    - - '>='\n"
        "      - !ruby/object:Gem::Version\n        version: '2'\n  version_requirements: *id001\n"
    )
    found = gemspec.parse((PLAIN + needs).encode(), "thing")
    assert found.needs == (gemspec.Need("other", (">= 2",)),)


@pytest.mark.parametrize(
    "more",
    [
        "platform: \"x86_64-linux\\nsystem('touch /x')\\n\"\n",
        "platform: 'ruby \"; x'\n",
        "executables: ['../x']\n",
        'require_paths: ["a\\nb"]\n',
        'dependencies:\n- {name: "x>; y", requirement: {requirements: []}}\n',
    ],
)
def test_what_could_become_ruby_or_lead_out_is_refused(more: str) -> None:
    with pytest.raises(ResolveError, match="lead out of it"):
        gemspec.parse((PLAIN + more).encode(), "thing")


@pytest.mark.parametrize("field", ["name", "version", "platform", "bindir", "date", "specification_version"])
def test_a_field_of_many_aliases_is_not_written_out(field: str) -> None:
    """Ten levels of ten would be ten thousand million words."""
    text = aliases(10) + PLAIN.replace("name: thing\n", "" if field == "name" else "name: thing\n")
    text = text.replace("--- !ruby/object:Gem::Specification\n", "")
    text = text.replace("version: !ruby/object:Gem::Version\n  version: 1.0.0\n", "") if field == "version" else text
    data = f"{text}{field}: *j9\n".encode()
    if field in ("name", "version"):
        with pytest.raises(ResolveError, match="lead out of it"):
            gemspec.parse(data, "thing")
    else:
        assert len(gemspec.parse(data, "thing").text) < 1000


@pytest.mark.parametrize("more", ["description: " + "[" * 100_000, "description: " + "{a: " * 5000])
def test_depth_brings_nobody_down(more: str) -> None:
    with pytest.raises(ResolveError, match="its metadata cannot be read"):
        gemspec.parse((PLAIN + more + "\n").encode(), "thing")


def test_a_number_of_thousands_of_digits_is_none() -> None:
    needs = "dependencies:\n- {name: x, requirement: {requirements: []}}\nspecification_version: " + "9" * 5000
    assert "s.specification_version = 4\n" in gemspec.parse((PLAIN + needs + "\n").encode(), "thing").text

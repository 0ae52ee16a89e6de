"""A Gemfile is a program; its plain lines are taken as they stand, and nothing is made of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.languages._ruby import gemfile, lockfile, numbers, select, stale
from tests import rubykit

TEXT = """\
source "https://gems.example.invalid"
git_source(:team) { |name| "https://git.example.invalid/#{name}.git" }
ruby "~> 3.4", file: ".ruby-version"

gem 'rails', '~> 7.1', ">= 7.1.3" # a comment with gem "no"
gem("rack", require: false)
gem "tzinfo-data", platforms: %i[mswin jruby]
gem "debug", platforms: [:mri, "windows"], :groups => [:development, :test]
group :production, :staging do
  gem "pg",
    "~> 1.5"
end
group :ci, optional: true do
  gem "rspec"
end
platforms :jruby do
  gem "jdbc"
end
path "engines/billing" do
  gem "billing"
end
"""


def entry(text: str, name: str) -> gemfile.Entry:
    return next(each for each in gemfile.parse(text).entries if each.name == name)


def test_plain_lines_are_read() -> None:
    found = gemfile.parse(TEXT)
    assert not found.unjudged
    assert (found.ruby, found.files, found.optional) == (("~> 3.4",), (".ruby-version",), ("ci",))
    assert entry(TEXT, "rails").requirements == ("~> 7.1", ">= 7.1.3")
    assert entry(TEXT, "rack").groups == ("default",)
    assert entry(TEXT, "debug").groups == ("development", "test")
    assert entry(TEXT, "pg").groups == ("production", "staging")
    assert entry(TEXT, "pg").line == 10
    assert "no" not in {each.name for each in found.entries}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('gem "a", ENV["VERSION"]', "a"),
        ('gem "a" if RUBY_VERSION > "3"', "a"),
        ('gem "a", "1.#{minor}"', "a"),
        ('if ENV["A"]\n  gem "a"\nend', "a"),
        ('install_if -> { true } do\n  gem "a"\nend', "a"),
        ('gem "a", install_if: true', "a"),
        ('gem name, "1"', ""),
        ("eval_gemfile 'more.rb'", ""),
        ("%w[a b].each do |each|\n  gem each\nend", ""),
    ],
)
def test_what_is_no_literal_is_not_judged(line: str, name: str) -> None:
    found = gemfile.parse(line + '\ngem "z"\n')
    assert found.unjudged
    assert not any(each.judged for each in found.entries if each.name == name)
    assert found.entries[-1].judged, "and the lines after it are"


@given(st.text(alphabet=st.sampled_from("gem \"'a,:[]%w()#{}do\nend=>|")))
def test_any_text_is_read(text: str) -> None:
    gemfile.parse(text)


def faults(
    text: str, dependencies: list[str], specs: dict[str, list[str]] | None = None, source: str = rubykit.INDEX
) -> list[str]:
    named = [each.split(" ")[0].rstrip("!") for each in dependencies]
    locked = lockfile.parse(rubykit.lock(specs or {f"{each} (1.5.0)": [] for each in named}, dependencies))
    return list(stale.faults(gemfile.parse(f'{text}\nsource "{source}"\n'), locked, Path("/nowhere")))


@pytest.mark.parametrize(
    ("text", "dependencies", "said"),
    [
        ('gem "a", "~> 1.0"', ["a (~> 1.0)"], ""),
        ('gem "a", "1.5"', ["a (= 1.5)"], ""),
        ('gem "a"', ["a"], ""),
        ('gem "a", "< 2", ">= 1"', ["a (>= 1, < 2)"], ""),
        ('gem "a", git: "https://x.invalid/a"', ["a!"], ""),
        ('gem "a", "~> 2.0"', ["a (~> 1.0)"], "Gemfile line 1: a (~> 2.0), and the lock has (~> 1.0)"),
        ('gem "a"\ngem "b"', ["a"], "Gemfile line 2: b is not in the lock"),
        ('gem "a"', ["a", "b"], "b is in the lock, and not in the Gemfile"),
        ('gem "a"\neval_gemfile "x"', ["a", "b"], ""),
        ('gem "a", V', ["a (~> 9)"], "the lock has a 1.5.0, and asks for (~> 9)"),
    ],
)
def test_a_lock_out_of_step_is_told(text: str, dependencies: list[str], said: str) -> None:
    assert faults(text, dependencies) == ([said] if said else [])


def test_a_lock_that_lacks_what_its_gems_need_is_told() -> None:
    told = faults('gem "a"', ["a"], {"a (1.5.0)": ["gone (~> 1)", "bundler"]})
    assert told == ["a 1.5.0 needs gone, and no section of the lock has it"]


def test_an_index_that_only_the_lock_names_is_told() -> None:
    told = faults('gem "a"', ["a"], source="https://other.example.invalid")
    assert told == [f"the lock takes gems from {rubykit.INDEX}, and the Gemfile does not name it as a source"]
    assert not faults(f'gem "a"\nsource "{rubykit.INDEX}/" do\nend', ["a"], source="https://other.example.invalid")


def test_groups_decide_what_an_image_holds() -> None:
    text = (
        'gem "a"\ngem "b", group: :test\ngem "c", groups: [:test, :default]\ngem "d", group: :tool\ngem "e", group: :x'
    )
    text += '\ngroup :x, optional: true do\n  gem "f", platforms: :jruby\nend'
    asked = gemfile.parse(text)
    locked = lockfile.parse(rubykit.lock({f"{each} (1.0)": [] for each in "abcdef"}, list("abcdef")))
    assert select.left_out(asked, [], "tool") == ("test", "tool", "x")
    assert select.left_out(asked, ["x", "tool"], "tool") == ("test",)
    assert select.roots(asked, locked, ("test", "tool", "x"), "3.4.1", []) == ["a", "c"]
    assert select.roots(asked, locked, ("test",), "3.4.1", []) == ["a", "c", "d", "e"]


@pytest.mark.parametrize(
    ("version", "asked", "met"),
    [
        ("3.4.7", "~> 3.4", True),
        ("3.4.7", "~> 3.4.0", True),
        ("3.5.0", "~> 3.4.0", False),
        ("4.0.0", "~> 3.4", False),
        ("3.4.0", "3.4", True),
        ("3.4.0.rc1", ">= 3.4", False),
        ("3.4.0", "< 3.5.dev", True),
        ("3.5.0.dev", "< 3.5.dev", False),
        ("1.10", "> 1.9", True),
        ("1.0", "!= 1", False),
    ],
)
def test_versions_are_compared_as_rubygems_does(version: str, asked: str, met: bool) -> None:
    assert numbers.satisfies(version, [asked]) is met


@pytest.mark.parametrize(
    ("platforms", "fits"),
    [((), True), (("ruby",), True), (("mri_34",), True), (("mri_33",), False), (("jruby",), False)],
)
def test_platforms_of_gemfiles(platforms: tuple[str, ...], fits: bool) -> None:
    assert gemfile.fits(platforms, "3.4.7") is fits


def test_a_service_that_is_a_gem_says_its_name(tmp_path: Path) -> None:
    assert gemfile.declared(tmp_path) == (None, None)
    (tmp_path / "a.gemspec").write_text(
        'Gem::Specification.new do |s|\n  s.name = "a"\n  s.version = A::VERSION\nend\n'
    )
    assert gemfile.declared(tmp_path) == ("a", None)


@pytest.mark.parametrize("text", ["3.4.7\n", "ruby-3.4.7\n", "nodejs 22.1.0\nruby 3.4.7\n"])
def test_the_ruby_that_a_file_names_is_asked_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "Gemfile").write_text('ruby file: "versions"\n')
    (tmp_path / "versions").write_text(text)
    found = gemfile.read(tmp_path / "Gemfile")
    assert (found.ruby, found.files) == (("3.4.7",), ("versions",))


def test_a_ruby_that_only_the_lock_names_is_told() -> None:
    locked = lockfile.parse(rubykit.lock({"a (1.0)": []}, ["a"]) + "\nRUBY VERSION\n   ruby 3.4.1p0\n")
    source = f'source "{rubykit.INDEX}"\ngem "a"\n'
    said = "the lock says ruby 3.4.1p0, and the Gemfile asks for no Ruby: Bundler does not start with that"
    assert list(stale.faults(gemfile.parse(source), locked, Path("/nowhere"))) == [said]
    assert list(stale.faults(gemfile.parse(f'{source}ruby "3.4.1"\n'), locked, Path("/nowhere"))) == []

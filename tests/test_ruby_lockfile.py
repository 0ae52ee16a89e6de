"""Gemfile.lock as Bundler writes it, and as nobody should: every fault is told at once, and none is a traceback."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.errors import ProjectError
from cdaf.languages._ruby import lockfile
from tests import rubykit

WHOLE = """\
GIT
  remote: https://git.example.invalid/team/ledger.git
  revision: 0123456789abcdef0123456789abcdef01234567
  branch: main
  specs:
    ledger (0.3.0)
      rack (>= 3)

PATH
  remote: engines/billing
  specs:
    billing (1.0.0)

GEM
  remote: https://gems.example.invalid/
  remote: https://private.example.invalid/
  specs:
    ffi (1.17.0)
    ffi (1.17.0-aarch64-linux-gnu)
    ffi (1.17.0-x86_64-linux-musl)
    rack (3.1.8)

PLATFORMS
  aarch64-linux
  ruby

DEPENDENCIES
  billing!
  ffi (>= 1.15, < 2)
  ledger!
  rack (~> 3.0)

CHECKSUMS
  ffi (1.17.0)
  rack (3.1.8) sha256=%s

RUBY VERSION
   ruby 3.4.1p0

BUNDLED WITH
   2.6.2
""" % ("ab" * 32)


def refused(text: str) -> str:
    with pytest.raises(ProjectError) as caught:
        lockfile.parse(text)
    assert caught.value.hint
    return caught.value.message


def test_every_section_is_read() -> None:
    found = lockfile.parse(WHOLE)
    assert [each.kind for each in found.sources] == ["git", "path", "gem"]
    assert found.sources[0].revision == "0123456789abcdef0123456789abcdef01234567"
    assert found.sources[2].remotes == ("https://gems.example.invalid/", "https://private.example.invalid/")
    assert [each.full for each in found.sources[2].specs][:2] == ["ffi-1.17.0", "ffi-1.17.0-aarch64-linux-gnu"]
    assert found.sources[0].specs[0].requires == ("rack",)
    assert [(each.name, each.requirements, each.pinned) for each in found.dependencies] == [
        ("billing", (), True),
        ("ffi", ("< 2", ">= 1.15"), False),
        ("ledger", (), True),
        ("rack", ("~> 3.0",), False),
    ]
    assert found.checksums == {"rack-3.1.8": f"sha256:{'ab' * 32}"}
    assert (found.platforms, found.ruby, found.bundler) == (("aarch64-linux", "ruby"), "ruby 3.4.1p0", "2.6.2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHOLE.replace("2.6.2", "1.17.3"), "Bundler 1.17.3; locks of Bundler 2"),
        (WHOLE.replace("2.6.2", "9.0.0"), "newer than this cdaf knows"),
        (WHOLE.replace("2.6.2", "x"), "no version"),
        (WHOLE + "\nFUTURE\n  x\n", "the section 'FUTURE' is unknown"),
        ("PLUGIN SOURCE\n  remote: x\n\n" + WHOLE, "plugins of Bundler are not known"),
        (WHOLE.replace("PLATFORMS\n  aarch64-linux\n  ruby\n", ""), "PLATFORMS is missing"),
        ("<<<<<<< HEAD\n" + WHOLE, "merge conflicts"),
        (WHOLE.replace("rack (3.1.8)\n\nPLAT", "rack 3.1.8\n\nPLAT"), "cannot be read"),
        (WHOLE.replace("    rack (3.1.8)\n\nP", "    ../../evil (3.1.8)\n\nP"), "'../../evil' is no gem's name"),
        (WHOLE.replace("    rack (3.1.8)\n\nP", "    rack (3.1.8/../../x)\n\nP"), "'3.1.8/../../x' is no version"),
        (WHOLE.replace("aarch64-linux-gnu", "x/../../y"), "is no platform"),
        (WHOLE.replace("    rack (3.1.8)\n\nP", "    rack (3.1.8)\n    Rack (3.1.8)\n\nP"), "letter case alone"),
        (WHOLE.replace("    rack (3.1.8)\n\nP", "    rack (3.1.8)\n    rack (3.1.9)\n\nP"), "in 2 versions"),
        (WHOLE.replace("    billing (1.0.0)", "    rack (3.1.8)"), "rack-3.1.8 comes from two sources"),
        (WHOLE.replace("sha256=", "md5="), "has no hash that is known here"),
        (WHOLE.replace("sha256=ab", "sha256=zz"), "has no hash that is known here"),
        (WHOLE.replace("0123456789abcdef0123456789abcdef01234567", "main"), "is no commit"),
        (WHOLE.replace("  remote: engines/billing\n", ""), "has no remote"),
        ("", "PLATFORMS is missing"),
    ],
)
def test_a_faulty_lock_is_refused_in_words(text: str, said: str) -> None:
    assert said in refused(text)


def test_all_faults_are_told_at_once() -> None:
    message = refused(WHOLE.replace("2.6.2", "1.0").replace("PLATFORMS\n", "PLATTFORMS\n").replace("sha256", "md5"))
    assert "Bundler 1.0" in message
    assert "PLATTFORMS" in message
    assert "no hash that is known" in message


def test_credentials_leave_the_sealed_copy_and_serve_as_logins() -> None:
    text = WHOLE.replace("https://private.", "https://robot:s3cret@private.").encode()
    assert b"s3cret" not in lockfile.redacted(text)
    assert lockfile.redacted(text) == WHOLE.encode()
    assert lockfile.credentials(text) == {"private.example.invalid": ("robot", "s3cret")}


@given(st.text(alphabet=st.sampled_from("GEM\n remote:()!-~.0123abc/\t")))
def test_any_text_is_read_or_refused(text: str) -> None:
    for given_text in (text, WHOLE + text, text.join(WHOLE.splitlines()[:12])):
        with suppress(ProjectError):
            lockfile.parse(given_text)


def test_what_the_kit_writes_is_a_lock() -> None:
    text = rubykit.lock({"a (1.0)": ["b (~> 1)"], "b (1.2)": []}, ["a"], checksums={"a (1.0)": f"sha256={'0' * 64}"})
    assert lockfile.parse(text).sources[0].specs[0].requires == ("b",)

"""The form of a gem that a target gets."""

from __future__ import annotations

import pytest

from cdaf.languages._ruby import platforms
from cdaf.languages._ruby.platforms import Local
from cdaf.languages._ruby.values import Spec

GLIBC, MUSL = Local(("x86_64",), musl=False), Local(("x86_64",), musl=True)
ARM = Local(platforms.cpus("linux/arm64"), musl=False)
ALL = ("ruby", "x86_64-linux", "x86_64-linux-gnu", "x86_64-linux-musl", "aarch64-linux", "arm64-darwin", "java")


def chosen(listed: tuple[str, ...], here: Local, *, ruby: bool = False) -> str | None:
    found = platforms.choose([Spec("a", "1", each) for each in listed], here, ruby=ruby)
    return found.platform if found else None


@pytest.mark.parametrize(
    ("listed", "here", "wanted"),
    [
        (ALL, GLIBC, "x86_64-linux-gnu"),
        (ALL, MUSL, "x86_64-linux-musl"),
        (ALL, ARM, "aarch64-linux"),
        (("ruby", "x86_64-linux"), GLIBC, "x86_64-linux"),
        (("ruby", "x86_64-linux"), MUSL, "x86_64-linux"),
        (("ruby", "x86_64-linux-gnu"), MUSL, "ruby"),
        (("ruby", "x86_64-linux-musl"), GLIBC, "ruby"),
        (("x86_64-linux-musl", "arm64-darwin"), GLIBC, None),
        (("ruby", "universal-java", "x64-mingw32"), GLIBC, "ruby"),
        (("arm64-darwin",), GLIBC, None),
    ],
)
def test_the_nearest_form_is_chosen(listed: tuple[str, ...], here: Local, wanted: str | None) -> None:
    assert chosen(listed, here) == wanted
    assert chosen(listed[::-1], here) == wanted


def test_ruby_s_own_form_where_it_is_asked_for() -> None:
    assert chosen(ALL, GLIBC, ruby=True) == "ruby"
    assert chosen(("x86_64-linux",), GLIBC, ruby=True) == "x86_64-linux"


def test_platforms_of_locks() -> None:
    assert platforms.supported(["x86_64-linux", "arm64-darwin"], GLIBC)
    assert platforms.supported(["ruby"], ARM)
    assert not platforms.supported(["x86_64-linux"], ARM)
    assert not platforms.supported(["arm64-darwin", "x86_64-linux-musl"], GLIBC)
    assert (GLIBC.name, MUSL.name, ARM.name) == ("x86_64-linux", "x86_64-linux-musl", "aarch64-linux")

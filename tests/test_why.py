"""What is said of two files that should have been one."""

import io
import zipfile
from pathlib import Path

import msgspec
import pytest

from cdaf.bundles import bundle, why
from tests import bundlekit

MARKS = {"the folder that it was made in": ("/a/b", "/c/d"), "the user's name": ("", "nobody")}


def zipped(*files: tuple[str, str], mode: int = 0o644, year: int = 1980, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, text in files:
            info = zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = method, (0o100000 | mode) << 16
            made.writestr(info, text)
    return out.getvalue()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"a\nb\n", b"b\na\n", "its lines are in another order"),
        (
            b"x\nat 12:30:01\n",
            b"x\nat 12:30:03\n",
            "it holds the time, line 2 is 'at 12:30:01' the first time, 'at 12:30:03' the second",
        ),
        (
            b"1763734939",
            b"1763734941",
            "it holds the time, line 1 is '1763734939' the first time, '1763734941' the second",
        ),
        (
            b"in /a/b/x",
            b"in /c/d/x",
            "it holds the folder that it was made in, line 1 is 'in /a/b/x' the first time, 'in /c/d/x' the second",
        ),
        (b"\xff/a/b", b"\xff/c/d", "it holds the folder that it was made in"),
        (b"\xff\x00", b"\xff\x01", "other bytes from offset 1 on"),
        (b"a", b"a\nb", "line 2 is '' the first time, 'b' the second"),
        (
            b"x" * 99 + b"1" + b"y" * 99,
            b"x" * 99 + b"2" + b"y" * 99,
            f"line 1 is '…{'x' * 20}1{'y' * 39}…' the first time, '…{'x' * 20}2{'y' * 39}…' the second",
        ),
        (
            zipped(("a", "1"), ("x.dist-info/RECORD", "1")),
            zipped(("a", "2"), ("x.dist-info/RECORD", "2")),
            "a: line 1 is '1' the first time, '2' the second",
        ),
        (zipped(("a", "")), zipped(("a", ""), mode=0o755), "a: mode 0644 the first time, 0755 the second"),
        (zipped(("a", "")), zipped(("a", ""), year=2026), "a: it carries the time at which it was made"),
        (zipped(("a", "")), zipped(("b", "")), "a is in it only the first time"),
        (zipped(("a", ""), ("b", "")), zipped(("b", ""), ("a", "")), "its files are in another order"),
        (
            zipped(("a", "1" * 99)),
            zipped(("a", "1" * 99), method=zipfile.ZIP_STORED),
            "it is compressed otherwise, or written in another form",
        ),
        (b"PK\3\4 damaged", b"PK\3\4 damaged too", "it is compressed otherwise, or written in another form"),
    ],
)
def test_what_differs(old: bytes, new: bytes, told: str) -> None:
    assert next(iter(why.differences(old, new, MARKS))) == told


def test_many_files_are_counted() -> None:
    old, new = (zipped(*((f"{number}", text) for number in range(9))) for text in "ab")
    found = list(why.differences(old, new, {}))
    assert len(found) == 6
    assert found[-1] == "4 more of its files"


def test_a_manifest_alone(tmp_path: Path) -> None:
    old = bundlekit.sealed(tmp_path / "a")
    tools = msgspec.structs.replace(old.manifest.tools, cdaf="9")
    new = bundle.seal(
        tmp_path / "b", msgspec.structs.replace(old.manifest, tools=tools), bundlekit.plans(), bundlekit.CONTENT
    )
    [told] = why.explain(old, new, {}).faults
    assert told.startswith("manifest.toml differs from one packaging to the next: line ")
    assert told.endswith("""is 'cdaf = "0.1.0"' the first time, 'cdaf = "9"' the second""")


def test_a_member_that_is_there_only_once(tmp_path: Path) -> None:
    old = bundlekit.sealed(tmp_path / "a")
    new = bundlekit.sealed(tmp_path / "b", {"generated/build/made.css": b"x"})
    assert why.explain(old, new, {}).faults == [
        "generated/build/made.css differs from one packaging to the next: it is there only the second time"
    ]

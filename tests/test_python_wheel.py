"""What wheels become: schemes, scripts, RECORD; and the wheels that are refused."""

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from cdaf.errors import ResolveError
from cdaf.languages._python import scripts, wheel
from tests import pykit

SITE = "lib/python3.13/site-packages"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def read(path: Path, python: str = "3.13") -> wheel.Reading:
    return wheel.read(path, hashlib.sha256(path.read_bytes()).hexdigest(), path.name, python)


def test_every_scheme_has_its_place(tmp_path: Path) -> None:
    files = {
        "pkg/__init__.py": "",
        "@/purelib/pure.py": "1",
        "@/platlib/plat.so": "2",
        "@/scripts/tool": "#!python -x\nprint(1)\n",
        "@/scripts/window": "#!pythonw\r\nprint(2)\n",
        "@/scripts/shell": "#!/bin/sh\n",
        "@/data/share/man/x.1": "3",
        "@/headers/x.h": "4",
    }
    found = read(pykit.wheel(tmp_path, "my-pkg", files=files))
    assert set(found.files) >= {
        f"{SITE}/pkg/__init__.py",
        f"{SITE}/pure.py",
        f"{SITE}/plat.so",
        "bin/tool",
        "bin/shell",
        "share/man/x.1",
        "include/site/python3.13/my-pkg/x.h",
        f"{SITE}/my_pkg-1.0.dist-info/METADATA",
        f"{SITE}/my_pkg-1.0.dist-info/INSTALLER",
        f"{SITE}/my_pkg-1.0.dist-info/RECORD",
    }
    assert found.skip == (
        "my_pkg-1.0.data/scripts/tool",
        "my_pkg-1.0.data/scripts/window",
        "my_pkg-1.0.dist-info/RECORD",
    )
    written = {each.path: each for each in found.written}
    assert written["bin/tool"].data == b"#!/app/.venv/bin/python -x\nprint(1)\n"
    assert written["bin/window"].data == b"#!/app/.venv/bin/python\nprint(2)\n"
    assert written["bin/tool"].mode == 0o755


def test_record_is_true_of_what_the_image_has(tmp_path: Path) -> None:
    path = pykit.wheel(
        tmp_path,
        "a",
        files={"a.py": "x = 1\n", "with, comma.txt": "y"},
        entry_points="[console_scripts]\nrun = a:main\n",
    )
    found = read(path)
    written = {each.path: each.data for each in found.written}
    rows = list(csv.reader(io.StringIO(written[f"{SITE}/a-1.0.dist-info/RECORD"].decode())))
    assert rows == sorted(rows)
    names = {row[0] for row in rows}
    assert {"a.py", "with, comma.txt", "../../../bin/run", "a-1.0.dist-info/INSTALLER"} <= names
    assert ["a-1.0.dist-info/RECORD", "", ""] in rows
    for name, digest, size in rows:
        if digest:
            data = b"x = 1\n" if name == "a.py" else written.get(f"{SITE}/{name}") or written.get("bin/run")
            if name in ("a.py", "../../../bin/run", "a-1.0.dist-info/INSTALLER") and data:
                expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={expected}", str(len(data)))


def test_console_scripts_and_their_odd_spellings() -> None:
    text = "[console_scripts]\nRun-It = pkg.mod : main.inner [extra]\n[gui_scripts]\nwin=pkg:gui\n[other]\nx = y:z\n"
    found = scripts.generate(text.replace(" : ", ":"))
    assert set(found) == {"Run-It", "win"}
    assert found["Run-It"].startswith(b"#!/app/.venv/bin/python\n")
    assert b"from pkg.mod import main\n" in found["Run-It"]
    assert b"sys.exit(main.inner())" in found["Run-It"]


@pytest.mark.parametrize("line", ["x = import os", "x = a:b; import os", "../x = a:b", "x = a", ".. = a:b"])
def test_an_entry_point_that_is_no_script_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is no script"):
        scripts.generate(f"[console_scripts]\n{line}\n")


BAD = {
    "../evil.py": "leaves the folder",
    "/etc/passwd": "leaves the folder",
    "a/../../evil": "leaves the folder",
    "a//b": "leaves the folder",
    "a\\b": "leaves the folder",
    "@/data/../../evil": "leaves the folder",
    "@/nothing/x": "is of no scheme",
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_escape_are_refused_by_the_wheel_s_name(tmp_path: Path, name: str) -> None:
    path = pykit.wheel(tmp_path, "evil", files={"ok.py": "", name: "x"})
    with pytest.raises(ResolveError) as caught:
        read(path)
    assert "evil-1.0-py3-none-any.whl is not a wheel" in caught.value.message
    assert BAD[name] in caught.value.message


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"%/WHEEL": "Wheel-Version: 2.0\n"}, "wheel version is 2.0"),
        ({"%/WHEEL": "x"}, "wheel version is missing"),
        ({"b-1.0.dist-info/METADATA": "", "%/METADATA": ""}, ""),
        ({"a.py": "1", "@/purelib/a.py": "2"}, "a.py and a-1.0.data/purelib/a.py both become .*/a.py"),
        ({"a": "1", "@/purelib/a/b.py": "2"}, "packages/a is a file, and .*/site-packages/a/b.py stands below it"),
        ({"a": "1", "%/RECORD/x": "2"}, "RECORD is a file, and "),
        ({"a.py": "", "@/purelib/a-1.0.dist-info/RECORD": "x"}, "/RECORD and what is generated both become .*/RECORD"),
        ({"a.py": "", "@/platlib/a-1.0.dist-info/INSTALLER": ""}, "/INSTALLER and what is generated both become "),
        ({"a.py": "", "__pycache__": ""}, "__pycache__ is where the bytecode of modules goes"),
        ({"a.py": "", "__pycache__/a.cpython-313.pyc/z": ""}, "z is where the bytecode of modules goes"),
        ({"%/entry_points.txt": "no section"}, "entry_points.txt"),
        (
            {"%/entry_points.txt": "[console_scripts]\nx = a:b", "@/data/bin/x": ""},
            "data/bin/x and what is generated both become bin/x",
        ),
        ({"%/METADATA": "Name: other\nVersion: 1.0\n"}, "it is a 1.0 by its name, and other 1.0 by its METADATA"),
        ({"%/METADATA": "Name: A\nVersion: 2\n"}, "and A 2 by its METADATA"),
        ({"%/entry_points.txt": "[console_scripts]\nx = \xff:y".encode("latin-1").decode("latin-1")}, "is no script"),
    ],
)
def test_wheels_that_break_the_rules(tmp_path: Path, files: dict[str, str], told: str) -> None:
    path = pykit.wheel(tmp_path, "a", files=files)
    if not told:
        assert read(path).version == ""
        return
    with pytest.raises(ResolveError, match=told):
        read(path)


def test_an_image_knows_letter_case(tmp_path: Path) -> None:
    path = pykit.wheel(
        tmp_path, "a", files={"a.py": "", "A.py": "", "b/x.py": "", "B/X.py": "", "__pycache__/x.pyc": ""}
    )
    assert {"a.py", "A.py", "b/x.py", "B/X.py"} <= {each.partition("site-packages/")[2] for each in read(path).files}


def test_what_is_no_wheel_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a-1.0-py3-none-any.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(ResolveError, match=r"a-1.0-py3-none-any.whl is not a wheel .* not a zip archive"):
        read(path)
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.py", "")
    with pytest.raises(ResolveError, match=r"no one \.dist-info folder of a 1\.0"):
        read(path)


def test_a_damaged_member_is_found_before_it_is_sealed(tmp_path: Path) -> None:
    path = pykit.wheel(tmp_path, "a", files={"a.py": "x" * 10_000})
    data = bytearray(path.read_bytes())
    start = data.index(b"a.py") + 4
    data[start + 5] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ResolveError, match="damaged"):
        read(path)


def test_a_reading_is_kept_and_a_damaged_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pykit.wheel(tmp_path, "a")
    first = read(path)
    wheel.read.cache_clear()
    monkeypatch.setattr(wheel, "_read", None)
    assert read(path) == first
    for kept in (tmp_path / "cache" / "python").rglob("*"):
        if kept.is_file():
            kept.write_bytes(b"x" + kept.read_bytes())
    wheel.read.cache_clear()
    monkeypatch.undo()
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    assert read(path) == first


def test_a_wheel_of_another_version_than_its_name_says(tmp_path: Path) -> None:
    path = pykit.wheel(tmp_path, "a")
    path = path.rename(path.with_name("a-9.9-py3-none-any.whl"))
    with pytest.raises(ResolveError, match=r"it is a 9\.9 by its name, and a 1\.0 by its folder"):
        read(path)


def test_an_entry_point_wins_over_a_script_of_its_name(tmp_path: Path) -> None:
    files = {"@/scripts/x": "#!python\nold", "@/scripts/y": "#!/bin/sh\n", "@/scripts/z": "#!python\n"}
    found = read(pykit.wheel(tmp_path, "a", files=files, entry_points="[console_scripts]\nx = a:b\ny = a:c\n"))
    programs = {each.path: each.data for each in found.written if each.path.startswith("bin/")}
    assert sorted(programs) == ["bin/x", "bin/y", "bin/z"]
    assert b"from a import b" in programs["bin/x"]
    assert {name.rpartition("/")[2] for name in found.skip} >= {"x", "y", "z"}


def test_no_section_stands_for_all() -> None:
    assert set(scripts.generate("[DEFAULT]\nx = a:b\n[console_scripts]\ny = a:b\n")) == {"y"}


def test_what_inflates_without_end_is_not_held(tmp_path: Path) -> None:
    zeros = "\0" * (1 << 25)
    with pytest.raises(ResolveError, match="METADATA is larger than"):
        read(pykit.wheel(tmp_path / "metadata", "a", files={"%/METADATA": zeros}))
    assert read(pykit.wheel(tmp_path / "notes", "a", files={"%/licenses/NOTES": zeros})).files


def test_a_directory_that_counts_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = pykit.wheel(tmp_path, "a", files={"a.py": "1", "hidden.py": "2"})
    data = bytearray(path.read_bytes())
    data[-12:-10] = (int.from_bytes(data[-12:-10], "little") - 1).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ResolveError, match="holds more than it counts"):
        read(path)


def test_a_record_that_lies_is_not_believed(tmp_path: Path) -> None:
    """Wrong digests and sizes, files that are not there, files that it does not name: the image's own is true."""
    lies = 'liar/__init__.py,sha256=AAAA,7\nliar/gone.py,,\n/etc/passwd,,\n../../x,,\n"broken\n'
    found = read(pykit.wheel(tmp_path, "liar", files={"liar/__init__.py": "x", "liar/more.py": "y", "%/RECORD": lies}))
    (record,) = [each.data.decode() for each in found.written if each.path.endswith("/RECORD")]
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(record))}
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x").digest()).rstrip(b"=").decode()
    assert rows["liar/__init__.py"] == [f"sha256={digest}", "1"]
    assert "liar/more.py" in rows
    assert not {"liar/gone.py", "/etc/passwd", "../../x"} & rows.keys()
    assert "liar-1.0.dist-info/RECORD" in found.skip

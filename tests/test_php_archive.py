"""Archives of packages: what is hashed, what one canonical form they get, and which are refused."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from cdaf import store
from cdaf.errors import ResolveError
from cdaf.languages._php import archive
from cdaf.net.fetch import KIND
from tests import phpkit

FILES = {
    "composer.json": "{}",
    "src/A.php": "<?php class A {}",
    "bin/run": "#!/bin/sh\n",
    "empty": "",
    "ünïcode/ß.txt": "x",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def read(path: Path) -> archive.Reading:
    return archive.read(path, hashlib.sha256(path.read_bytes()).hexdigest(), "acme/thing 1.0.0")


def test_the_same_tree_has_one_hash_and_one_canonical_form(tmp_path: Path) -> None:
    """Another top folder, time, order, compression or kind of archive makes no difference."""
    made = [
        phpkit.archive(tmp_path / "1.zip", FILES),
        phpkit.archive(tmp_path / "2.zip", FILES, top="acme-thing-fedcba9/", second=8, level=1),
        phpkit.archive(tmp_path / "3.zip", dict(reversed(FILES.items()))),
        phpkit.tarball(tmp_path / "4.tar", FILES),
    ]
    assert len({path.read_bytes() for path in made}) == 4
    assert len({archive.tree_hash(read(path)) for path in made}) == 1
    canonical = {archive.canonical(path, "x") for path in made}
    assert len(canonical) == 1
    (sha256,) = canonical
    again = archive.read(store.path(KIND, sha256), sha256, "x", whole=True)
    assert again.top == ""
    assert archive.tree_hash(again) == archive.tree_hash(read(made[0]))
    with zipfile.ZipFile(store.path(KIND, sha256)) as opened:
        assert {name: opened.read(name).decode() for name in opened.namelist()} == FILES


def test_what_makes_another_tree(tmp_path: Path) -> None:
    several = {
        "plain": phpkit.archive(tmp_path / "1.zip", FILES),
        "executable": phpkit.archive(tmp_path / "2.zip", FILES, executable=("bin/run",)),
        "other bytes": phpkit.archive(tmp_path / "3.zip", {**FILES, "empty": " "}),
        "other name": phpkit.archive(tmp_path / "4.zip", {**FILES, "Empty": ""}),
        "link": phpkit.archive(tmp_path / "5.zip", FILES, links={"a": "empty"}),
        "link elsewhere": phpkit.archive(tmp_path / "6.zip", FILES, links={"a": "bin/run"}),
        "deeper": phpkit.archive(tmp_path / "7.zip", {f"deeper/{name}": data for name, data in FILES.items()}, top=""),
    }
    hashes = {name: archive.tree_hash(read(path)) for name, path in several.items()}
    assert hashes.pop("deeper") == hashes["plain"]  # one folder above all is no part of it, whatever its name
    assert len(set(hashes.values())) == len(hashes)


def test_links_and_modes_stay(tmp_path: Path) -> None:
    path = phpkit.archive(tmp_path / "a.zip", FILES, executable=("bin/run",), links={"src/link": "../empty"})
    sha256 = archive.canonical(path, "x")
    items = archive.read(store.path(KIND, sha256), sha256, "x").items
    assert items["src/link"].link == "../empty"
    assert items["bin/run"].executable
    assert not items["empty"].executable


@pytest.mark.parametrize(("top", "inner"), [("", "composer.json"), ("one/", "composer.json"), ("", "a/b")])
def test_a_top_folder_is_taken_off_where_it_is_the_only_one(tmp_path: Path, top: str, inner: str) -> None:
    path = phpkit.archive(tmp_path / "a.zip", {inner: "{}", "x/y": ""} if inner != "a/b" else {inner: ""}, top=top)
    reading = read(path)
    assert reading.top == ("a/" if inner == "a/b" else top)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr(".DS_Store", "junk")
    assert read(path).top == (reading.top if reading.top else "")
    assert (".DS_Store" in read(path).skip) is bool(reading.top)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../b", "a//b", "./a", "a\\b", "a\nb", "..", "a/./b", "C:\\x", "a\x7f"]
)
def test_names_that_leave_the_archive(tmp_path: Path, name: str) -> None:
    path = phpkit.archive(tmp_path / "a.zip", {name: "x", "ok": "y"}, top="")
    with pytest.raises(ResolveError, match="leaves the archive"):
        read(path)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "a/../../../x"])
def test_links_that_leave_the_archive(tmp_path: Path, target: str) -> None:
    path = phpkit.archive(tmp_path / "a.zip", {"ok": "y"}, links={"d/link": target}, top="")
    with pytest.raises(ResolveError, match="leaves the archive"):
        read(path)


def test_one_path_twice_and_a_file_that_is_a_folder_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("x/a", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("x/a", "2")
    with pytest.raises(ResolveError, match="there twice"):
        read(tmp_path / "a.zip")
    with pytest.raises(ResolveError, match="a is a file, and a/b stands below it"):
        read(phpkit.archive(tmp_path / "b.zip", {"a": "1", "a/b": "2", "c": ""}))


def test_paths_that_differ_by_case_alone_stand_side_by_side(tmp_path: Path) -> None:
    """An image's file system knows case."""
    files = {"README.md": "1", "readme.md": "2", "src/a.php": "3", "SRC/a.php": "4"}
    path = phpkit.archive(tmp_path / "a.zip", files)
    assert list(read(path).items) == sorted(files)
    sha256 = archive.canonical(path, "x")
    assert (
        archive.bytes_of(store.path(KIND, sha256), archive.read(store.path(KIND, sha256), sha256, "x"), "readme.md")
        == b"2"
    )


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"not an archive", b"\x1f\x8b\x08\x00", b"PK\x05\x06" + b"\0" * 18 + b"x"]
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ResolveError, match=r"acme/thing 1\.0\.0"):
        read(tmp_path / "a.zip")


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = phpkit.archive(tmp_path / "a.zip", {"a.txt": "a long enough text " * 50})
    data = bytearray(path.read_bytes())
    data[len("acme-thing-0123456/a.txt") + 30 + 10] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ResolveError, match="cannot be read"):
        read(path)


@pytest.mark.slow
def test_twenty_thousand_small_files(tmp_path: Path) -> None:
    files = {f"src/{number // 100}/f{number}.php": f"<?php // {number}\n" for number in range(20_000)}
    path = phpkit.archive(tmp_path / "a.zip", files)
    sha256 = archive.canonical(path, "x")
    reading = archive.read(store.path(KIND, sha256), sha256, "x", whole=True)
    assert len(reading.items) == 20_000
    assert archive.tree_hash(reading) == archive.tree_hash(read(path))


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_what_swells_is_refused_before_it_does(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_LARGEST", 3 << 20)
    path = tmp_path / f"a.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for number in range(4):
                out.writestr(f"top/{number}", bytes(1 << 20))
    else:
        with tarfile.open(path, "w:gz") as tar:
            for number in range(4):
                info = tarfile.TarInfo(f"top/{number}")
                info.size = 1 << 20
                tar.addfile(info, io.BytesIO(bytes(1 << 20)))
    with pytest.raises(ResolveError, match="it holds more than 3 MiB"):
        read(path)

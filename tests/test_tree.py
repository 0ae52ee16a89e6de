"""Source trees: what enters a build, and archives that try to leave their folder."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from cdaf.errors import ProjectError, ResolveError
from cdaf.languages._shared import tree
from tests import pykit


def names(folder: Path) -> list[str]:
    return [leaf.name for leaf in tree.tracked(folder)]


def test_git_decides_what_enters(tmp_path: Path) -> None:
    files = {
        "a b.py": "",
        "über.txt": "",
        "sub/c.py": "",
        ".gitignore": "ignored\n",
        "gone.py": "",
        "sub/line\nbreak": "",
    }
    pykit.commit(pykit.write(tmp_path / "top", files))
    pykit.write(tmp_path / "top", {"untracked.py": "", "ignored": ""})
    (tmp_path / "top" / "gone.py").unlink()
    assert names(tmp_path / "top") == [".gitignore", "a b.py", "sub/c.py", "sub/line\nbreak", "über.txt"]
    assert names(tmp_path / "top" / "sub") == ["c.py", "line\nbreak"]
    pykit.write(tmp_path / "top", {"empty/x": ""})
    with pytest.raises(ProjectError, match="git tracks no file in"):
        tree.tracked(tmp_path / "top" / "empty")


def test_outside_of_git_all_but_junk_enters(tmp_path: Path) -> None:
    pykit.write(
        tmp_path, {"a.py": "", "__pycache__/a.pyc": "", ".venv/x": "", "x.egg-info/PKG-INFO": "", "b/c.pyc": ""}
    )
    assert names(tmp_path) == ["a.py"]


def test_a_tree_is_its_names_bytes_modes_and_links(tmp_path: Path) -> None:
    def made(number: int, text: str = "x", mode: int = 0o644, target: str = "a") -> str:
        folder = pykit.write(tmp_path / str(number), {"a": text})
        (folder / "a").chmod(mode)
        (folder / "link").symlink_to(target)
        os.utime(folder / "a", (number, number))
        return tree.digest(tree.tracked(folder))

    assert made(1) == made(2) == made(3, mode=0o600)
    assert len({made(4), made(5, text="y"), made(6, mode=0o755), made(7, target="b")}) == 4


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = pykit.write(tmp_path / "top", {"a": ""})
    (folder / "out").symlink_to("../secret")
    with pytest.raises(ProjectError, match="is a symbolic link out of"):
        tree.tracked(folder)


def test_a_copy_has_fixed_modes_and_times(tmp_path: Path) -> None:
    folder = pykit.write(tmp_path / "top", {"sub/a": "1", "run": "2"})
    (folder / "run").chmod(0o700)
    (folder / "link").symlink_to("sub/a")
    before = os.umask(0o077)
    try:
        tree.copy(tree.tracked(folder), tmp_path / "copy")
    finally:
        os.umask(before)
    found = {path.name: path.lstat() for path in (tmp_path / "copy").rglob("*")}
    assert {name: oct(found[name].st_mode & 0o777) for name in ("sub", "a", "run")} == {
        "sub": "0o755",
        "a": "0o644",
        "run": "0o755",
    }
    assert {state.st_mtime for state in found.values()} == {tree.TIME}
    assert (tmp_path / "copy" / "link").read_text() == "1"


def tarred(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for member in members:
            member.size = 1 if member.isfile() else 0
            out.addfile(member, io.BytesIO(b"x") if member.isfile() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


@pytest.mark.parametrize(
    "bad",
    [
        [member("../evil")],
        [member("/etc/evil")],
        [member("a/../../evil")],
        [member("link", tarfile.SYMTYPE, "/etc")],
        [member("link", tarfile.SYMTYPE, "../..")],
        [member("sub/link", tarfile.SYMTYPE, "../../x")],
        [member("d", tarfile.SYMTYPE, "."), member("d/evil")],
        [member("fifo", tarfile.FIFOTYPE)],
        [member("dev", tarfile.CHRTYPE)],
        [member("a/b/up", tarfile.SYMTYPE, ".."), member("x", tarfile.SYMTYPE, "a/b/up/../../evil")],
        [member("a/x", tarfile.SYMTYPE, "b/up/../evil"), member("a/b/up", tarfile.SYMTYPE, "../..")],
        [member("a/b/up", tarfile.SYMTYPE, "../.."), member("a/x", tarfile.SYMTYPE, "b/up/../evil"), member("a/x")],
        [member("file"), member("link", tarfile.SYMTYPE, "file"), member("link")],
        [member("hard", tarfile.LNKTYPE, "lost")],
        [member("hard", tarfile.LNKTYPE, "other"), member("other", tarfile.LNKTYPE, "hard")],
        [member("folder", tarfile.DIRTYPE), member("hard", tarfile.LNKTYPE, "folder")],
    ],
)
def test_an_sdist_that_leaves_its_folder_is_refused(tmp_path: Path, bad: list[tarfile.TarInfo]) -> None:
    path = tarred(tmp_path / "evil-1.0.tar.gz", *bad)
    (tmp_path / "into" / "deep").mkdir(parents=True)
    with pytest.raises(ResolveError, match=r"evil-1\.0\.tar\.gz cannot be unpacked"):
        tree.unpack(path, path.name, tmp_path / "into" / "deep")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "into" / "evil").exists()


def test_damaged_and_zipped_sdists(tmp_path: Path) -> None:
    path = tmp_path / "a-1.0.tar.gz"
    path.write_bytes(b"\x1f\x8b nothing")
    (tmp_path / "into").mkdir()
    with pytest.raises(ResolveError, match="cannot be unpacked"):
        tree.unpack(path, path.name, tmp_path / "into")
    with zipfile.ZipFile(tmp_path / "b-1.0.zip", "w") as out:
        out.writestr("b-1.0/setup.py", "x")
    assert tree.unpack(tmp_path / "b-1.0.zip", "b-1.0.zip", tmp_path / "into") == tmp_path / "into" / "b-1.0"
    with zipfile.ZipFile(tmp_path / "c-1.0.zip", "w") as out:
        out.writestr("../evil", "x")
    with pytest.raises(ResolveError, match="leaves the archive"):
        tree.unpack(tmp_path / "c-1.0.zip", "c-1.0.zip", tmp_path / "into")


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 99)])
def test_a_zipped_sdist_that_nobody_can_read(tmp_path: Path, at: int, value: int) -> None:
    path = tmp_path / "a-1.0.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a-1.0/setup.py", "x")
    data = bytearray(path.read_bytes())
    for start in (data.index(b"PK\1\2") + at, at - 2):  # encrypted, or of a method to come
        data[start] = value
    path.write_bytes(data)
    (tmp_path / "into").mkdir()
    with pytest.raises(ResolveError, match=r"a-1\.0\.zip cannot be unpacked"):
        tree.unpack(path, path.name, tmp_path / "into")


def test_modes_are_gits_where_git_tracks(tmp_path: Path) -> None:
    folder = pykit.write(tmp_path / "top", {"run": "1", "plain": "2"})
    (folder / "run").chmod(0o755)
    pykit.commit(folder)
    pykit.run("git", "config", "core.fileMode", "false", cwd=folder)
    (folder / "run").chmod(0o644)
    (folder / "plain").chmod(0o755)
    assert {leaf.name: leaf.executable for leaf in tree.tracked(folder)} == {"plain": False, "run": True}

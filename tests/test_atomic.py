"""Files that appear whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdaf import atomic
from cdaf.errors import UsageError
from tests.bundlekit import names


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file"
    with atomic.writing(target) as file:
        os.write(file, b"bytes")
        assert not target.exists()
    assert target.read_bytes() == b"bytes"
    assert names(target.parent) == ["file"]


def test_the_mode_is_not_the_umasks(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with atomic.writing(tmp_path / "file"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, UsageError])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail() -> None:
        with atomic.writing(tmp_path / "file") as file:
            os.write(file, b"new")
            raise error("x")

    with pytest.raises(error):
        fail()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with atomic.writing(tmp_path / "file") as one:
        os.write(one, b"one")
        with atomic.writing(tmp_path / "file") as other:
            os.write(other, b"other")
        assert (tmp_path / "file").read_bytes() == b"other"
    assert (tmp_path / "file").read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from cdaf import atomic
with atomic.writing(Path(sys.argv[1])) as file:
    os.write(file, b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")], check=False)
    assert len(names(tmp_path)) == 1, "the second removed what the first left"
    (tmp_path / ".cdaf-part-folder").mkdir()
    (tmp_path / ".cdaf-part-link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / ".cdaf-part-pipe")
    with atomic.writing(tmp_path / "other"):
        pass
    # What cannot be a leftover of ours is left alone.
    assert names(tmp_path) == [".cdaf-part-folder", ".cdaf-part-link", ".cdaf-part-pipe", "other"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(UsageError, match="cannot be written"), atomic.writing(tmp_path / "file"):
        pass
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written"), atomic.writing(tmp_path / "plain" / "file"):
        pass
    assert names(tmp_path) == ["file", "plain"]

"""Any exception becomes an error that names the thing and says what to do."""

import errno
import os
from pathlib import Path

import pytest

from cdaf.errors import ResolveError, exit_code
from cdaf.terminal import mishap


def test_ours_stay_as_they_are() -> None:
    error = ResolveError("x")
    assert mishap.explain(error) is error


@pytest.mark.parametrize(
    ("number", "code", "hint"),
    [
        (errno.ENOSPC, 75, "free some space"),
        (errno.EDQUOT, 75, "free some space"),
        (errno.EACCES, 1, "owner and mode"),
        (errno.EROFS, 1, "owner and mode"),
        (errno.EMFILE, 75, "ulimit"),
        (errno.ENOENT, 1, "check the path"),
    ],
)
def test_the_system_s_errors_name_the_file(number: int, code: int, hint: str) -> None:
    known = mishap.explain(OSError(number, os.strerror(number), "dist/orders.cdaf"))
    assert known.message == f"dist/orders.cdaf: {os.strerror(number).lower()}"
    assert hint in known.hint
    assert exit_code(known) == code


def test_a_rename_names_its_target() -> None:
    known = mishap.explain(OSError(errno.EXDEV, "Invalid cross-device link", "a", None, b"b"))
    assert known.message == "b: invalid cross-device link"


def test_out_of_memory() -> None:
    assert mishap.explain(MemoryError()).message == "out of memory"


def test_where_even_the_traceback_cannot_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "file"))
    known = mishap.explain(KeyError("x"))
    assert known.message == "internal: KeyError: 'x'"
    assert "could not be saved" in known.hint

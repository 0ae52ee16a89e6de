"""Folders of builds: gone at the end, and after a kill gone with the next build."""

import subprocess
import sys
from pathlib import Path

import pytest

from cdaf.languages._shared import scratch


def test_nothing_stays_but_what_another_process_still_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path))
    program = (
        "from cdaf.languages._shared import scratch\n"
        "with scratch.folder() as folder:\n    (folder / 'x').write_text('x'); print(folder, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with scratch.folder() as mine:
            assert mine != theirs
            assert (theirs / "x").exists()
        assert not mine.exists()
        other.kill()
        other.wait()
    assert theirs.exists()
    with scratch.folder():
        assert not theirs.exists()
    assert list((tmp_path / "scratch").iterdir()) == []

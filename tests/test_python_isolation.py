"""What runs a build: it is alone, and nothing of it is left when it has ended."""

import errno
import os
from pathlib import Path

import pytest

from cdaf.errors import ResolveError
from cdaf.languages._python import isolation


def run(folder: Path, script: str) -> None:
    isolation.run(["sh", "-c", script], folder, folder, [], {}, "it cannot be built")


def test_no_process_outlives_its_build(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Both ends, so that opening it waits for nobody.
    run(tmp_path, "setsid sleep 600 <>pipe >/dev/null 2>&1 &")
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):  # nobody reads from it
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)


def test_a_step_knows_nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary")
    run(tmp_path, "env > told; cat /proc/self/status > /dev/null")
    told = (tmp_path / "told").read_text()
    assert "canary" not in told
    assert f"HOME={tmp_path}" in told


def test_a_step_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match="it cannot be built") as caught:
        run(tmp_path, "echo because >&2; exit 3")
    assert caught.value.output == "because"

"""What nobody waits for until the process ends."""

import subprocess
import sys
import threading

import pytest

from cdaf import chores, progress
from cdaf.errors import EngineError

MAIN = """
import sys, threading, time
from cdaf import chores, cli
def slow():
    time.sleep(0.5)
    print("done", flush=True)
def run(_):
    chores.begin(slow)
    print("told", flush=True)
    return 3
cli.run = run
from cdaf.__main__ import main
main()
"""


def test_it_is_done_beside_all_else() -> None:
    begun, go = threading.Event(), threading.Event()

    def chore() -> None:
        begun.set()
        assert go.wait(10)

    chores.begin(chore)
    assert begun.wait(10)
    go.set()
    chores.finish()
    assert [each for each in threading.enumerate() if each.name == "cdaf-chore"] == []


def test_the_program_ends_when_it_is_done() -> None:
    done = subprocess.run([sys.executable, "-c", MAIN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "told\ndone\n", "")


def test_an_error_is_only_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)

    def chore() -> None:
        raise EngineError("gone")

    chores.begin(chore)
    chores.finish()
    assert notes == ["gone"]

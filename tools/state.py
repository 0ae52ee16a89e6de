"""The state folder of the tools: where it is, what lies in it, who may change it now, which processes are ours."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]


class ToolError(Exception):
    """Something the tools can't do: what and why, a hint in the imperative, and the program's own output."""

    def __init__(self, message: str, hint: str = "", output: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.output = output


def explain(error: ToolError) -> int:
    """Print an error as people read it, the program's own output before the message; returns the exit code."""
    if error.output:
        print(error.output.rstrip(), file=sys.stderr)
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return 1


def folder() -> Path:
    """The state folder, one per user so that all checkouts share an engine; `CDAF_TOOLS_STATE` moves it."""
    named = os.environ.get("CDAF_TOOLS_STATE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = Path(named).resolve() if named else cache / "cdaf-tools"
    place.mkdir(parents=True, exist_ok=True)
    return place


def say(text: str) -> None:
    """One line of progress on stderr; stdout is for results."""
    print(f"tools: {text}", file=sys.stderr, flush=True)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock `name` of the state folder: of several starts at once one works, the others wait."""
    with (folder() / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {handle.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str], why: str, env: Mapping[str, str] | None = None, hint: str = "") -> str:
    """Run a program to its end and return its stdout; `why` says in the error what could not be done."""
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise ToolError(f"can't {why}: there is no program {command[0]}", hint) from None
    if done.returncode:
        output = (done.stdout + done.stderr)[-4000:]
        raise ToolError(f"can't {why}: {Path(command[0]).name} ended with {done.returncode}", hint, output)
    return done.stdout


def answers(command: Sequence[str], env: Mapping[str, str] | None = None, seconds: float = 20) -> str | None:
    """The stdout of a program that ended well in time, else None: for asking whether something is there."""
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def read(name: str) -> dict[str, Any]:
    """The note `name` of the state folder; empty when there is none or it is damaged."""
    try:
        note = json.loads((folder() / f"{name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def write(name: str, note: Mapping[str, Any]) -> None:
    """Replace the note `name` of the state folder in one step."""
    place = folder() / f"{name}.json"
    fresh = place.with_suffix(f".{os.getpid()}")
    fresh.touch(0o600)  # pip's index may be named with a password
    fresh.write_text(json.dumps(note, indent=1, sort_keys=True) + "\n")
    fresh.replace(place)


def forget(name: str) -> None:
    """Remove the note `name`."""
    (folder() / f"{name}.json").unlink(missing_ok=True)


def born(pid: int) -> str | None:
    """When a process started, in clock ticks since boot (proc(5)): with the pid it names one process for good."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # a killed program's first thread is a zombie while others still hold its files and ports
    return None if fields[0] == "Z" and int(fields[17]) <= 1 else fields[19]


def spawn(name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Start a server in a session of its own, its output in `NAME.log`, and note it; returns its pid."""
    with (folder() / f"{name}.log").open("ab") as log:
        try:
            child = subprocess.Popen(
                command, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        except FileNotFoundError:
            raise ToolError(f"can't start {name}: there is no program {command[0]}") from None
    write(name, read(name) | {"pid": child.pid, "born": born(child.pid)})
    return child.pid


def alive(name: str) -> int | None:
    """The pid of the server noted as `name`, if that very process still runs."""
    note = read(name)
    pid = note.get("pid")
    return pid if isinstance(pid, int) and note.get("born") and born(pid) == note["born"] else None


def stop(name: str, seconds: float = 30) -> bool:
    """Stop the server noted as `name` and no other process; False when it did not run."""
    pid = alive(name)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    if not wait(lambda: alive(name) is None, seconds):
        os.kill(pid, signal.SIGKILL)
        wait(lambda: alive(name) is None, 10)
    return True


def wait(ready: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Ask until `ready` says yes; False when `seconds` have passed."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        _reap()
        time.sleep(pause)
    return True


def _reap() -> None:
    """A child of ours that ended is a zombie until it is waited for, and would count as running."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return


def last_lines(name: str, count: int = 15) -> str:
    """The end of a server's log, for an error message."""
    try:
        return "\n".join((folder() / f"{name}.log").read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""


def free_port(preferred: int = 0) -> int:
    """A loopback TCP port that nobody listens on; `preferred` if it is one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ToolError("can't find a free TCP port on 127.0.0.1")


def program(name: str) -> str | None:
    """A program by name, from PATH or the folders that only root has on it."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")

"""The one door to other programs."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cdaf.errors import CdafError


class Finished(NamedTuple):
    """What a program left behind."""

    code: int
    stdout: bytes
    stderr: bytes


def find(program: str) -> str | None:
    """The program's path, if it is on PATH."""
    return shutil.which(program)


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end; no shell is involved.

    `env` is added to this process's environment. Raises CdafError when it cannot be started or takes longer than
    `timeout` seconds.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, **env} if env else None,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        raise CdafError(f"{argv[0]} cannot be started: {error.strerror}", f"install {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise CdafError(f"{argv[0]} took longer than {timeout:.0f} s") from error
    return Finished(done.returncode, done.stdout, done.stderr)


def must(
    argv: Sequence[str],
    failure: type[CdafError],
    message: str,
    hint: str = "",
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> bytes:
    """Run a program that has to succeed and return its stdout; otherwise raise `failure` with the program's output."""
    done = run(argv, cwd=cwd, env=env, stdin=stdin, timeout=timeout)
    if done.code:
        raise failed(done, failure, message, hint)
    return done.stdout


def failed(done: Finished, failure: type[CdafError], message: str, hint: str = "") -> CdafError:
    """The error for a program that failed, with its output; transient when what it lacked was room on a disk."""
    output = (done.stderr or done.stdout).decode(errors="replace").strip()
    if os.strerror(errno.ENOSPC) in output:
        return failure(message, "free some space and run the command again", output, transient=True)
    return failure(message, hint, output)


def stream(argv: Sequence[str], line: Callable[[str], None]) -> Finished:
    """Run a program and hand each line of its output (both streams) to `line` as it comes; all of it is `stdout`.

    Whatever is raised meanwhile, an interruption above all, ends the program too.
    """
    try:
        running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise CdafError(f"{argv[0]} cannot be started: {error.strerror}", f"install {argv[0]}") from error
    said = bytearray()
    with running:
        try:
            for data in running.stdout or ():
                said += data
                line(data.decode(errors="replace").rstrip("\r\n"))
        except BaseException:
            running.kill()
            raise
    return Finished(running.returncode, bytes(said), b"")

"""Whole processes on the clock: wall time, peak memory, medians and ratios."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tools.state import ToolError


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall time, and the peak resident memory, in bytes, of its largest process."""

    seconds: float
    peak: int = 0
    stdout: str = ""


Prepared = Callable[[], Sample]  # prepares off the clock, then runs once on it


def run(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Sample:
    """Run a program to its end, on the clock from before its start until it is gone.

    Raises ToolError with its output when it fails: a failure must not count as a fast run.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said = out.read().decode(errors="replace")
        if child.returncode:
            output = (said + err.read().decode(errors="replace"))[-4000:]
            raise ToolError(f"{' '.join(command[:4])} … ended with {child.returncode}", "", output)
        return Sample(seconds, usage.ru_maxrss * 1024, said.strip())


def total(samples: Sequence[Sample]) -> Sample:
    """Several programs run one after the other, as one sample."""
    return Sample(sum(each.seconds for each in samples), max(each.peak for each in samples), samples[-1].stdout)


def alternately(runs: int, *competitors: Prepared) -> tuple[tuple[Sample, ...], ...]:
    """A B A B …: each competitor's samples, so that what the machine does meanwhile hits all of them alike."""
    rounds = [[each() for each in competitors] for _ in range(runs)]
    return tuple(zip(*rounds, strict=True))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Ratio of the medians."""
    return median(ours) / median(theirs)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios within each round."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))

"""What the figures were measured on: versions and size of the machine, no names and no paths."""

from __future__ import annotations

import os
import platform
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.service import Programs
from tools import state
from tools.state import ToolError


@contextmanager
def before_all_else(*, wanted: bool) -> Iterator[None]:
    """Take the processor before every other process; all that is started meanwhile, on either side, inherits it.

    Not for containers: the kernel keeps real-time processes out of control groups without a budget for them.
    """
    if not wanted:
        yield
        return
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        raise ToolError("this user may not take a real-time priority", "leave --realtime away, or be root") from None
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def facts(programs: Programs, env: Mapping[str, str]) -> dict[str, str]:
    """Everything whose version counts, and the machine."""
    project = tomllib.loads((state.CHECKOUT / "pyproject.toml").read_text())["project"]
    git = ["git", "-C", str(state.CHECKOUT), "describe", "--always", "--match=", "--abbrev=12", "--dirty"]
    return {
        "cdaf": f"{project['version']}, commit {state.answers(git)}",
        "Python": platform.python_version(),
        "uv": _version([programs.named("uv"), "--version"], env),
        "engine": _version(["docker", "version", "--format", "{{.Server.Version}}"], env),
        "buildx": _version(["docker", "buildx", "version"], env),
        "registry": _version(["docker-registry", "--version"], env),
        "machine": f"{os.cpu_count()} CPUs, {_processor()}, {_memory()} GB of memory",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', platform.system())}, {platform.release()}",
    }


def load() -> str:
    """How busy the machine was meanwhile."""
    return f"{os.getloadavg()[2]:.1f} processes wanted a CPU at a time, over the last 15 minutes"


def _version(command: list[str], env: Mapping[str, str]) -> str:
    said = state.answers(command, env) or ""
    found = re.search(r"\d+(\.\d+)+\S*", said)
    return found[0] if found else said or "unknown"


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)

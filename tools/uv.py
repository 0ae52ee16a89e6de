"""The program uv: the machine's own, else one from the package index that the machine's pip is set up for."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tools import apt, state
from tools.state import ToolError


def find() -> str | None:
    """The uv to use, if there is one: PATH first, then the one that these tools fetched."""
    own = state.folder() / "uv" / "bin" / "uv"
    return shutil.which("uv") or (str(own) if os.access(own, os.X_OK) else None)


def ensure() -> str:
    """The uv to use, fetched if there is none; an existing one is never touched."""
    if found := find():
        return found
    with state.locked("uv"):
        if found := find():
            return found
        _fetch(state.folder() / "uv")
    if found := find():
        return found
    raise ToolError("uv was installed, but there is no program uv", "install uv yourself and put it on PATH")


def _fetch(into: Path) -> None:
    """Install uv into an environment of its own: PEP 668 forbids the system's, and nobody's should change."""
    state.say("fetching uv from the package index")
    fresh = into.with_name(f"uv.{os.getpid()}")
    for leftover in into.parent.glob("uv.[0-9]*"):
        shutil.rmtree(leftover)
    state.run([_python(), "-m", "venv", str(fresh)], "make an environment for uv")
    pip = [str(fresh / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    hint = "check the package index that pip is configured for (pip config list)"
    state.run([*pip, "uv"], "get uv from the package index", hint=hint)
    shutil.rmtree(into, ignore_errors=True)
    fresh.rename(into)


def _python() -> str:
    """A Python that can make environments: this one, or Debian's with the package that it leaves out by default."""
    if state.answers([sys.executable, "-c", "import ensurepip, venv"]) is not None:
        return sys.executable
    apt.install(["python3-venv"])
    return "/usr/bin/python3"

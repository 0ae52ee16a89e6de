"""The program uv: the machine's own, else one from the package index that the machine's pip is set up for."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tools import apt, state
from tools.state import CHECKOUT, ToolError


def find() -> str | None:
    """The uv to use, if there is one: PATH first, then the one that these tools fetched."""
    return shutil.which("uv") or (str(_own()) if os.access(_own(), os.X_OK) else None)


def _own() -> Path:
    return state.folder() / "uv" / "bin" / "uv"


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


def environment() -> dict[str, str]:
    """Where our uv finds packages: where pip does, unless uv has been told by its own settings.

    A uv that the machine has is left as it is.
    """
    if find() != str(_own()) or _settled():
        return {}
    note = state.read("pip")
    names = {"UV_DEFAULT_INDEX": note.get("index-url"), "SSL_CERT_FILE": note.get("cert")}
    return {name: value for name, value in names.items() if value and not os.environ.get(name)}


def _settled() -> bool:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))
    named = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE")
    return any(os.environ.get(name) for name in named) or any(file.exists() for file in files)


def sync() -> None:
    """Make the project's environment from uv.lock.

    The lock names the public index's files. Where uv is led to another index, the same versions are taken from there by
    name, and the lock's hashes still hold.
    """
    uv = ensure()
    if not os.environ.get("UV_DEFAULT_INDEX"):
        state.run([uv, "sync", "--quiet", "--locked", "--project", str(CHECKOUT)], "make the project's environment")
        return
    if not (CHECKOUT / ".venv" / "bin" / "python").exists():
        state.run([uv, "venv", "--quiet", str(CHECKOUT / ".venv")], "make the project's environment")
    export = [uv, "export", "--quiet", "--frozen", "--no-emit-project", "--project", str(CHECKOUT)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(state.run(export, "read uv.lock"))
        wanted.flush()
        install = [uv, "pip", "install", "--quiet", "--python", str(CHECKOUT / ".venv")]
        state.run([*install, "--require-hashes", "-r", wanted.name], "install what uv.lock names")
        state.run([*install, "--no-deps", "-e", str(CHECKOUT)], "install the project")


def _fetch(into: Path) -> None:
    """Install uv into an environment of its own: PEP 668 forbids the system's, and nobody's should change."""
    state.say("fetching uv from the package index")
    fresh = into.with_name(f"uv.{os.getpid()}")
    for leftover in into.parent.glob("uv.[0-9]*"):
        shutil.rmtree(leftover)
    state.run([_python(), "-m", "venv", str(fresh)], "make an environment for uv")
    pip = [str(fresh / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    hint = "check the package index that pip is configured for (pip config list)"
    state.run([*pip, "install", "uv"], "get uv from the package index", hint=hint)
    said = state.answers([*pip, "config", "list"]) or ""
    state.write("pip", dict(re.findall(r"^(?:global|install|:env:)\.(index-url|cert)='(.*)'$", said, re.MULTILINE)))
    shutil.rmtree(into, ignore_errors=True)
    fresh.rename(into)


def _python() -> str:
    """A Python that can make environments: this one, or Debian's with the package that it leaves out by default."""
    if state.answers([sys.executable, "-c", "import ensurepip, venv"]) is not None:
        return sys.executable
    apt.install(["python3-venv"])
    return "/usr/bin/python3"

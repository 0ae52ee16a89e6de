"""Python interpreters of other versions, for tests that compare what they make: `python3 tools/pythons.py [VERSION]…`.

Without arguments: those of this machine. With versions: images of them, made of Debian's packages and pushed to the
local registry as `cdaf-test/python-git:VERSION`, which the engine knows by that very name.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import registry, standins, state, uv  # noqa: E402

KNOWN = ("3.11", "3.12", "3.13", "3.14")
DEBIAN = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}  # 3.12 is in no release


def here() -> dict[str, str]:
    """The interpreters of this machine by minor version: on PATH, of pyenv, or known to uv."""
    return {version: found for version in KNOWN if (found := _find(version))}


def _find(version: str) -> str | None:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    pyenv = sorted(root.glob(f"{version}.*/bin/python{version}"))
    # a shim of pyenv answers only for versions switched on, so each candidate is asked
    guesses = [shutil.which(f"python{version}"), f"/usr/bin/python{version}", *map(str, reversed(pyenv))]
    for guess in filter(None, guesses):
        if state.answers([guess, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) == version:
            return guess
    program = uv.find()
    offline = [program or "uv", "python", "find", "--no-project", "--no-python-downloads", version]
    return state.answers(offline) or None


def image(version: str) -> str:
    """The name of an image with this interpreter, built if the local registry lacks it."""
    if version not in DEBIAN:
        raise state.ToolError(f"no Debian release holds Python {version}", f"choose from {', '.join(DEBIAN)}")
    wanted = stand_in(version)
    with state.locked("up"):
        port = registry.start()
        standins.make(port, standins.missing(port, (wanted,)))
    return wanted.reference


def stand_in(version: str) -> standins.StandIn:
    """What an image with this interpreter is made of."""
    package = f"python{version}"
    names = ("python", "python3")
    return standins.StandIn(
        "cdaf-test/python-git",
        version,
        (package, "ca-certificates", "git"),
        package,
        {"Cmd": ["python3"], "Env": [standins.PATH, "LANG=C.UTF-8"]},
        {f"usr/local/bin/{name}": f"../../bin/{package}" for name in names},
        suite=DEBIAN[version],
    )


def main(versions: list[str]) -> int:
    """List, or build."""
    try:
        for version in versions:
            print(image(version))
    except state.ToolError as error:
        return state.explain(error)
    if not versions:
        for version, place in here().items():
            print(f"{version:5} {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

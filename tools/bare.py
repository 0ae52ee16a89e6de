"""From a bare Debian machine to one that can test and demonstrate cdaf: `python3 tools/bare.py up`.

up      bring up what is missing: uv, a Docker engine, a local registry, a package index, base images; twice is harmless
env     print the environment that leads to them, as shell `export` lines (brings nothing up)
run     bring everything up, then run a command in that environment
images  only make the stand-ins named, such as rabbitmq:4 (all that are known: `images all`)
status  what is there, and where
down    stop the engine, the registry and the index that these tools started, and nothing else
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import engine, index, machine, registry, state  # noqa: E402
from tools.state import ToolError  # noqa: E402


def main(arguments: list[str]) -> int:
    """Run one verb; returns the exit code."""
    verb, *rest = arguments or ["help"]
    verbs = {"up": up, "env": env, "run": run, "images": images, "status": status, "down": down}
    if verb not in verbs:
        print(__doc__, end="", file=sys.stdout if verb in {"help", "--help", "-h"} else sys.stderr)
        return 0 if verb in {"help", "--help", "-h"} else 2
    try:
        return verbs[verb](rest)
    except ToolError as error:
        return state.explain(error)
    except KeyboardInterrupt:
        return 130


def up(_: list[str]) -> int:
    """Bring up what is missing."""
    machine.up()
    return 0


def env(_: list[str]) -> int:
    """Print the environment as shell lines."""
    for name, value in machine.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def run(command: list[str]) -> int:
    """Bring everything up and become the command."""
    if not command:
        raise ToolError("no command to run", "say: tools/run COMMAND [ARGUMENT]…")
    machine.up()
    added = machine.environment()
    os.environ.update(added)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise ToolError(f"can't run {command[0]}: {error.strerror}") from None


def images(names: list[str]) -> int:
    """Make stand-ins by name."""
    machine.images(names)
    return 0


def status(_: list[str]) -> int:
    """Print what is there."""
    for name, value in machine.status().items():
        print(f"{name:10} {value}")
    return 0


def down(_: list[str]) -> int:
    """Stop what these tools started."""
    with state.locked("up"):
        ended = {"engine": engine.stop(), "registry": registry.stop(), "index": index.stop()}
        stopped = [name for name, was in ended.items() if was]
    state.say(f"stopped: {', '.join(stopped) or 'nothing ran'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

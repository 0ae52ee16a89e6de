"""What `make` does: `python3 tools/tasks.py setup|check|test|demo|bench|fmt`; stops at the first command that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import apt, machine, standins, state, uv  # noqa: E402
from tools.state import CHECKOUT, ToolError  # noqa: E402

RUN = ["uv", "run", "--no-sync"]
PYTEST = [*RUN, "pytest", "-q", "-n", "auto", "--dist", "worksteal"]


def setup() -> None:
    """Make the project's environment (.venv) from uv.lock; uv itself, git and make where they are missing."""
    _programs()
    uv.ensure()
    os.environ.update(machine.environment())
    uv.sync()


def fmt() -> None:
    """Format, mend what the linter can mend by itself, and write the reference in docs/ anew."""
    setup()
    _step([*RUN, "ruff", "check", "--fix-only", "--quiet", "."])
    _step([*RUN, "ruff", "format", "."])
    _step([*RUN, "python", "-m", "tools.reference"])


def lint() -> None:
    """Linter, format, types."""
    _step([*RUN, "ruff", "check", "--quiet", "."])
    _step([*RUN, "ruff", "format", "--check", "--quiet", "."])
    _step([*RUN, "mypy"])


def check() -> None:
    """Lint, types and every test that needs no engine and little time."""
    setup()
    lint()
    _compile()
    _step([*PYTEST, "-m", "not docker and not slow"])


def test() -> None:
    """Lint, types and every test, the engine brought up where it is missing."""
    setup()
    lint()
    machine.up()
    os.environ.update(machine.environment())
    _compile()
    _step(PYTEST)


def demo() -> None:
    """Package and release examples/orders into a local registry."""
    setup()
    machine.up(standins.ORDERS)
    os.environ.update(machine.environment())
    _step([*RUN, "python", "tools/demo.py"])


def bench() -> None:
    """The table of ratios."""
    setup()
    machine.up(standins.ORDERS)
    os.environ.update(machine.environment())
    _step([*RUN, "python", "-m", "benchmarks"])


TASKS: dict[str, Callable[[], None]] = {task.__name__: task for task in (setup, check, test, demo, bench, fmt)}


def _programs() -> None:
    """git reads projects, and the tests make some."""
    if not state.program("git"):
        state.say("installing git from Debian")
        apt.install(["git", "ca-certificates"])
    inside = state.answers(["git", "-C", str(CHECKOUT), "rev-parse", "--git-dir"])
    if inside is None and (CHECKOUT / ".git").exists():
        # a checkout that belongs to somebody else, as CI's often do; said for our programs alone (git-config(1))
        count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        os.environ |= {
            "GIT_CONFIG_COUNT": str(count + 1),
            f"GIT_CONFIG_KEY_{count}": "safe.directory",
            f"GIT_CONFIG_VALUE_{count}": str(CHECKOUT),
        }


def _compile() -> None:
    """Tests start cdaf hundreds of times; where writing bytecode is forbidden each start would compile all of it."""
    _step([*RUN, "python", "-m", "compileall", "-q", "cdaf"])


def _step(command: list[str]) -> None:
    """Run one command, its name before it and its time after it (on stderr, and not after tests: theirs is last)."""
    state.say(" ".join(command))
    began = time.monotonic()
    code = subprocess.run(command, cwd=CHECKOUT, check=False).returncode
    if code:
        sys.exit(code)
    if "pytest" not in command:
        state.say(
            f"{command[len(RUN)] if command[: len(RUN)] == RUN else command[0]}: {time.monotonic() - began:.1f} s"
        )


def main(names: list[str]) -> int:
    """Run the tasks named."""
    if not names or any(name not in TASKS for name in names):
        for name, task in TASKS.items():
            print(f"{name:8} {task.__doc__}")
        return 0 if names in ([], ["help"]) else 2
    try:
        for name in names:
            TASKS[name]()
    except ToolError as error:
        return state.explain(error)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Copies of services to measure on: tracked files alone, in a repository of their own, with a committed cdaf.lock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from tools import state

AUTHOR = {
    "GIT_AUTHOR_NAME": "benchmarks",
    "GIT_AUTHOR_EMAIL": "benchmarks@localhost",
    "GIT_COMMITTER_NAME": "benchmarks",
    "GIT_COMMITTER_EMAIL": "benchmarks@localhost",
    "GIT_CONFIG_NOSYSTEM": "1",
}
ORDERS = Path("examples/orders")
HEAVY = Path("benchmarks/heavy")
WIDE = Path("benchmarks/wide")
MARK = "# change "


@dataclass(frozen=True, slots=True)
class Programs:
    """cdaf as a user has it: installed from a wheel, compiled, in an environment of its own."""

    environment: Path

    def named(self, name: str) -> str:
        return str(self.environment / "bin" / name)


@dataclass(frozen=True, slots=True)
class Service:
    """A copy of a service that is measured on."""

    root: Path


def install(into: Path) -> Programs:
    """Install the checkout with its locked dependencies: an editable one would be compiled at every start where
    bytecode may not be written."""
    command = ["uv", "sync", "--quiet", "--frozen", "--no-dev", "--no-editable", "--compile-bytecode"]
    env = os.environ | {"UV_PROJECT_ENVIRONMENT": str(into), "UV_PYTHON_DOWNLOADS": "never"}
    # uv takes no heed of changes in a source tree whose version stays
    command += ["--reinstall-package", "cdaf", "--project", str(state.CHECKOUT)]
    state.run(command, "install cdaf for the benchmarks", env)
    return Programs(into)


def copied(source: Path, into: Path) -> Service:
    """Copy a service's tracked files and commit them."""
    where = state.CHECKOUT / source
    listed = state.run(["git", "-C", str(where), "ls-files", "-z"], "list the service's files")
    for name in filter(None, listed.split("\0")):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(where / name, target)
    ignored = into / ".gitignore"
    lines = ignored.read_text().splitlines() if ignored.exists() else ["dist/", ".venv/"]
    ignored.write_text("".join(f"{line}\n" for line in lines if line != "cdaf.lock"))
    made = Service(into)
    git(made, "init", "--quiet")
    commit(made, "begin")
    return made


def locked(service: Service, programs: Programs, env: Mapping[str, str]) -> None:
    """Write cdaf.lock and commit it, as users do."""
    measure.run([programs.named("cdaf"), "lock"], env, service.root)
    commit(service, "lock")


def changed(service: Service, name: str) -> None:
    """Change one line of a file, to what it never was before, and commit it."""
    path = service.root / name
    lines = path.read_text().splitlines()
    count = int(lines.pop().removeprefix(MARK)) if lines[-1].startswith(MARK) else 0
    path.write_text("\n".join([*lines, f"{MARK}{count + 1}"]) + "\n")
    commit(service, f"change {count + 1}")


def commit(service: Service, message: str) -> None:
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--no-gpg-sign", "--message", message)


def git(service: Service, *arguments: str) -> None:
    state.run(["git", "-C", str(service.root), *arguments], "prepare a repository", os.environ | AUTHOR)

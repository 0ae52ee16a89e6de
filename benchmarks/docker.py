"""The peer's image, built and pushed by Docker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks import measure
from tools import state

IMAGE = "orders-peer"


def build(
    root: Path, inputs: Path, env: Mapping[str, str], *, bytecode: bool = True, dockerfile: str = "Dockerfile"
) -> measure.Sample:
    """`docker buildx build` of the peer's Dockerfile over a copy of the service."""
    peer = state.CHECKOUT / "benchmarks" / "peer" / dockerfile
    given = [f"--build-context={name}={inputs / name}" for name in ("uv", "wheels")]
    given.append(f"--build-arg=BYTECODE={int(bytecode)}")
    command = ["docker", "buildx", "build", "--builder=default", "--quiet", "--load", f"--file={peer}", *given]
    return measure.run([*command, f"--tag={IMAGE}", str(root)], env, root)


def push(root: Path, repository: str, env: Mapping[str, str]) -> measure.Sample:
    """`docker tag` (off the clock) and `docker push`."""
    measure.run(["docker", "tag", IMAGE, repository], env, root)
    return measure.run(["docker", "push", "--quiet", repository], env, root)


def inputs(root: Path, python: str, into: Path) -> Path:
    """What the peer's build is handed: the service's wheels and its build requirements', and the program uv."""
    wheels = into / "wheels"
    wheels.mkdir(parents=True)
    (into / "uv").mkdir()
    shutil.copy(shutil.which("uv") or "uv", into / "uv" / "uv")
    needs = into / "requirements.txt"
    uv = ["uv", "--quiet", "--no-progress"]
    export = [*uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--project", str(root), "--python", python]
    state.run([*export, "--output-file", str(needs)], "export the peer's requirements")
    pip = [*uv, "run", "--no-project", "--python", python, "--with", "pip", "python", "-m", "pip", "--quiet"]
    get = [*pip, "download", "--only-binary", ":all:", "--dest", str(wheels)]
    tags = [f"--platform={tag}_{os.uname().machine}" for tag in ("manylinux2014", "manylinux_2_28")]
    own = ["--no-deps", "--require-hashes", "--no-binary", "docopt", "--python-version", "3.13", *tags]
    state.run([*get, *own, "--requirement", str(needs)], "download the peer's wheels")
    state.run([*get, "hatchling", "setuptools"], "download the peer's build requirements")
    return into

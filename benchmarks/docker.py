"""A Docker engine that has never seen anything: its own data, started for one run, gone after it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import measure
from tools import bridge, engine, state
from tools.state import ToolError

IMAGE = "orders-peer"


@contextmanager
def fresh() -> Iterator[dict[str, str]]:
    """The environment that leads to an engine with no images and no build cache; stopped and removed at the end.

    It has a bridge of its own and leaves the packet filter alone: what is built here uses no network.
    """
    if os.geteuid():
        raise ToolError("only root can start a Docker engine of its own to measure with", "run this as root")
    home = Path(mkdtemp(prefix="bench-", dir=state.folder()))
    try:
        with bridge.own() as network, _started(home, network) as host:
            yield {"DOCKER_HOST": host, "BUILDX_CONFIG": str(home / "buildx")}
    finally:
        shutil.rmtree(home)


@contextmanager
def _started(home: Path, network: str) -> Iterator[str]:
    socket = home / "sock"
    (home / "daemon.json").write_text(json.dumps({"registry-mirrors": mirrors()}))
    command = [
        state.program("dockerd") or "dockerd",
        *("--data-root", str(home / "data"), "--exec-root", str(home / "run"), "--pidfile", str(home / "pid")),
        *("--config-file", str(home / "daemon.json"), "--host", f"unix://{socket}", "--group", "root"),
        *("--bridge", network, "--iptables=false", "--ip6tables=false"),
    ]
    env = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    with (home / "log").open("wb") as log:
        try:
            child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except FileNotFoundError:
            raise ToolError("there is no program dockerd to measure with", "install Docker on this machine") from None
    try:
        state.wait(lambda: engine.ping(socket) or child.poll() is not None, 90)
        if not engine.ping(socket):
            raise ToolError("the Docker engine to measure with did not start", "", (home / "log").read_text()[-2000:])
        yield f"unix://{socket}"
    finally:
        child.terminate()
        child.wait(60)


def mirrors() -> list[str]:
    """Where the machine's engine looks for public images first."""
    return [each for each in os.environ.get("CDAF_REGISTRY_MIRRORS", "").split(",") if each]


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

"""A Docker engine that has never seen anything: its own data, started for one run, gone after it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tools import bridge, engine, state
from tools.state import ToolError


@contextmanager
def started(*, containerd: bool = False) -> Iterator[dict[str, str]]:
    """The environment that leads to an engine with no images and no build cache; stopped and removed at the end.

    It has a bridge of its own and leaves the packet filter alone: what is built here uses no network but loopback's
    registries. With `containerd` it keeps images in containerd's store.
    """
    if os.geteuid():
        raise ToolError("only root can start a Docker engine of its own", "run this as root")
    home = Path(mkdtemp(prefix="fresh-", dir=state.folder()))
    try:
        with bridge.own() as network, _serving(home, network, containerd=containerd) as host:
            yield {"DOCKER_HOST": host, "BUILDX_CONFIG": str(home / "buildx")}
    finally:
        shutil.rmtree(home)


@contextmanager
def _serving(home: Path, network: str, *, containerd: bool) -> Iterator[str]:
    socket = home / "sock"
    told = {"registry-mirrors": mirrors(), "features": {"containerd-snapshotter": containerd}}
    (home / "daemon.json").write_text(json.dumps(told))
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
            raise ToolError("there is no program dockerd", "install Docker on this machine") from None
    try:
        state.wait(lambda: engine.ping(socket) or child.poll() is not None, 90)
        if not engine.ping(socket):
            raise ToolError("the Docker engine did not start", "", (home / "log").read_text()[-2000:])
        yield f"unix://{socket}"
    finally:
        child.terminate()
        child.wait(60)


def mirrors() -> list[str]:
    """Where the machine's engine looks for public images first."""
    return [each for each in os.environ.get("CDAF_REGISTRY_MIRRORS", "").split(",") if each]

"""The Docker engine: the machine's own where it serves, else one installed from Debian and started by us."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import apt, state
from tools.state import ToolError

PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
ORIGIN = "trixie"  # Debian 12's own are too old: no buildx, compose 1
BUILDX = (0, 13)
COMPOSE = (2,)
OWN = "dockerd"


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers: `host` is empty for the one the environment names already; `client` a docker program."""

    host: str
    client: str
    own: bool


def environment(engine: Engine) -> dict[str, str]:
    """The environment variables that lead every Docker client to this engine."""
    return {"DOCKER_HOST": engine.host} if engine.host else {}


def find() -> Engine | None:
    """The machine's own engine, if one answers; nothing is started or changed.

    One that is too old is an error: a second engine beside it would take its bridge and its packet filter.
    """
    clients = _clients()
    for client in clients:
        if answers(client, os.environ):
            return Engine(os.environ.get("DOCKER_HOST", ""), client, own=False)
    if any(_server(client, os.environ) for client in clients):
        raise ToolError(
            "a Docker engine answers, but not with buildx >= 0.13 and compose v2",
            "install those two for it, or stop it: then an engine of our own is started",
        )
    return None


def answers(client: str, env: Mapping[str, str]) -> bool:
    """Whether an engine answers this client, and buildx and compose are there and new enough."""
    return (
        _server(client, env)
        and _at_least([client, "buildx", "version"], env, BUILDX)
        and _at_least([client, "compose", "version", "--short"], env, COMPOSE)
    )


def _server(client: str, env: Mapping[str, str]) -> bool:
    return bool(state.answers([client, "version", "--format", "{{.Server.Version}}"], env))


def _at_least(command: list[str], env: Mapping[str, str], wanted: tuple[int, ...]) -> bool:
    match = re.search(r"\bv?(\d+(?:\.\d+)+)", state.answers(command, env) or "")
    return match is not None and tuple(int(part) for part in match[1].split(".")) >= wanted


def _clients() -> list[str]:
    """Every docker program on PATH: the first may be old and without plugins while a later one serves."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    programs = [str(folder / "docker") for folder in [*folders, Path("/usr/bin")]]
    return [program for program in dict.fromkeys(programs) if os.access(program, os.X_OK)]


def running() -> Engine | None:
    """Our own engine, if it runs and answers; takes milliseconds."""
    client = state.read(OWN).get("client")
    if state.alive(OWN) is None or not isinstance(client, str) or not ping(sock()):
        return None
    return Engine(f"unix://{sock()}", client, own=True)


def sock() -> Path:
    """The socket of our own engine; the path of a Unix socket holds at most 107 bytes (unix(7))."""
    place = state.folder() / "docker.sock"
    if len(os.fsencode(place)) > 107:
        raise ToolError(f"the path {place} is too long for a socket", "set CDAF_TOOLS_STATE to a shorter folder")
    return place


def ping(place: Path) -> bool:
    """Whether an engine answers on this socket (`GET /_ping` of the Engine API)."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        connection.sock.connect(str(place))
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start(mirror: str) -> Engine:
    """Our own engine, installed if need be and started; `mirror` is the URL of the registry that it asks first.

    Call it under the lock. An engine that was killed is started again on the same data.
    """
    if os.geteuid():
        raise ToolError(
            "no Docker engine with buildx >= 0.13 and compose v2 answers, and only root can start one",
            "start Docker, add yourself to its group, or run this as root",
        )
    client = _installed_client()
    _configure(mirror)
    if engine := running():
        return engine
    state.stop(OWN)
    _clear_leftovers()
    state.say("starting a Docker engine")
    state.write(OWN, {"client": client})
    state.spawn(OWN, _command(), os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"})
    state.wait(lambda: ping(sock()) or state.alive(OWN) is None, 90)
    if engine := running():
        return engine
    state.stop(OWN)
    log = state.folder() / f"{OWN}.log"
    raise ToolError(
        "the Docker engine did not start",
        f"read {log}: it needs the rights of a host or of a privileged container",
        state.last_lines(OWN),
    )


def _command() -> list[str]:
    """The daemon's command line; `CDAF_TOOLS_DOCKERD` says how it starts, such as `unshare --net dockerd`."""
    home = state.folder()
    return [
        *shlex.split(os.environ.get("CDAF_TOOLS_DOCKERD") or state.program("dockerd") or "dockerd"),
        *("--data-root", str(home / "docker")),
        *("--exec-root", str(home / "run")),
        *("--pidfile", str(home / "dockerd.pid")),
        *("--config-file", str(_config())),
        *("--host", f"unix://{sock()}"),
        *("--group", "root"),
    ]


def _config() -> Path:
    return state.folder() / "daemon.json"


def _configure(mirror: str) -> None:
    """Write the engine's configuration; a running one reads it again on SIGHUP (its mirrors may change alive)."""
    text = json.dumps({"registry-mirrors": [mirror]}) + "\n"
    if _config().exists() and _config().read_text() == text:
        return
    _config().write_text(text)
    if pid := state.alive(OWN):
        os.kill(pid, signal.SIGHUP)


def _installed_client() -> str:
    if not (state.program("dockerd") and apt.installed(*PACKAGES)):
        state.say(f"installing a Docker engine from Debian: {', '.join(PACKAGES)}")
        if not list(Path(apt.KEYRING).parent.glob(f"debian-archive-{ORIGIN}-*")):
            apt.install(["debian-archive-keyring"])
        apt.install(PACKAGES, ORIGIN if apt.release() == "bookworm" else None)
    return "/usr/bin/docker"


def _clear_leftovers() -> None:
    """A killed dockerd leaves its containerd running and its pid file: both belong to this state folder alone."""
    (state.folder() / "dockerd.pid").unlink(missing_ok=True)
    note = state.folder() / "run" / "containerd" / "containerd.pid"
    try:
        pid = int(note.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, ValueError):
        return
    if str(state.folder() / "run") in command:
        os.kill(pid, signal.SIGTERM)
        state.wait(lambda: state.born(pid) is None, 20)
    note.unlink(missing_ok=True)


def stop() -> bool:
    """Stop our own engine, and with it every container it runs; never another's."""
    stopped = state.stop(OWN, 60)
    if stopped:
        _clear_leftovers()
        _unmount()
        state.forget(OWN)
    return stopped


def _unmount() -> None:
    """A killed engine leaves mounts; all that lie below the state folder are of our engines."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in reversed(mounts):
        if place.startswith(f"{state.folder()}/"):
            state.answers(["umount", place])

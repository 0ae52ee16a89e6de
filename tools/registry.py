"""Container registries on loopback, by Debian's docker-registry: one as the engine's mirror, others for tests."""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from pathlib import Path

from tools import apt, state
from tools.state import ToolError

MIRROR = "mirror"
PORT = 5055
PACKAGE = "docker-registry"
OLDSTABLE = "bookworm"  # the last release that is sure to hold it


def install() -> str:
    """The program docker-registry, installed from Debian if it is missing."""
    if found := state.program(PACKAGE):
        return found
    here = apt.release()
    return apt.program(PACKAGE, None if here == OLDSTABLE or apt.candidate(PACKAGE) else OLDSTABLE)


def configuration(storage: Path, port: int, htpasswd: Path | None = None, read_only: bool = False) -> str:
    """The YAML that docker-registry reads: no telemetry, no log of each request, deletes allowed."""
    auth = f"auth:\n  htpasswd:\n    realm: cdaf-test\n    path: {htpasswd}\n" if htpasswd else ""
    maintenance = "  maintenance:\n    readonly:\n      enabled: true\n" if read_only else ""
    return (
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\n"
        f"storage:\n  filesystem:\n    rootdirectory: {storage}\n  delete:\n    enabled: true\n{maintenance}"
        f"http:\n  addr: 127.0.0.1:{port}\n{auth}"
    )


def clean_environment() -> dict[str, str]:
    """The environment without `REGISTRY_…`: docker-registry would read those over its configuration."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
    return kept | {"OTEL_TRACES_EXPORTER": "none"}


def ready(port: int) -> bool:
    """Whether a registry answers on this loopback port, 401 (login wanted) included."""
    status = get(port, "/v2/")
    return status in {http.client.OK, http.client.UNAUTHORIZED}


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> int:
    """The status of a GET on loopback; 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def port() -> int:
    """The port that the mirror has, or had when it last ran, or would like."""
    return int(state.read(MIRROR).get("port") or PORT)


def running() -> int | None:
    """The port of the mirror, if it runs and answers."""
    return port() if state.alive(MIRROR) and ready(port()) else None


def start() -> int:
    """The mirror's port; started if it does not run. Call it under the lock.

    It keeps its port over restarts, because the engine's configuration names it.
    """
    if known := running():
        return known
    state.stop(MIRROR)
    chosen = state.free_port(port())
    home = state.folder() / "registry"
    home.mkdir(exist_ok=True)
    config = state.folder() / "registry.yml"
    config.write_text(configuration(home, chosen))
    state.write(MIRROR, {"port": chosen})
    state.spawn(MIRROR, [install(), "serve", str(config)], clean_environment())
    state.wait(lambda: ready(chosen) or state.alive(MIRROR) is None, 30)
    if running() != chosen:
        raise ToolError("the local registry did not start", "", state.last_lines(MIRROR))
    return chosen


def stop() -> bool:
    """Stop the mirror; its storage stays."""
    return state.stop(MIRROR)

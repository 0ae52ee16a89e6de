"""Finding the engine and a client program that has compose, and turning what goes wrong between them into errors."""

import errno
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdaf import process
from cdaf.errors import CdafError, EngineError

if TYPE_CHECKING:
    import docker

TIMEOUT = 30  # seconds that the engine may take to say the next thing
_NOT_FOUND = 404
_DEFAULT = "unix:///var/run/docker.sock"
_DAEMON = "Error response from daemon: "
# Through whose hands the start of a container goes, each of which puts its name before what is wrong.
_AROUND = (
    "^(failed to create task for container: |failed to create shim task: |OCI runtime create failed: |"
    "runc create failed: |unable to start container process: )+"
)
_START = "start Docker, or point DOCKER_HOST at a running engine; `cdaf doctor` shows what is missing"
_INSTALL = "install Docker with the compose plugin (2.20 or newer), or name its client in CDAF_DOCKER"


class EngineGone(EngineError):
    """Nobody answers where the engine was, or should be."""


def binary() -> str:
    """The `docker` program to use: `CDAF_DOCKER`, else the first on PATH that has compose.

    An old client without plugins may well stand first. Raises EngineError when there is none.
    """
    return _binary(os.environ.get("CDAF_DOCKER", ""), os.environ.get("PATH", ""))


@cache
def _binary(chosen: str, path: str) -> str:
    found = [chosen] if chosen else _candidates(path)
    for program in found:
        if _has_compose(program):
            return program
    if chosen:
        raise EngineError(f"CDAF_DOCKER: {chosen} is no docker client with the compose plugin", _INSTALL)
    if found:
        raise EngineError(f"no docker client with the compose plugin: {', '.join(found)} have none", _INSTALL)
    raise EngineError("docker is not installed", _INSTALL)


def _candidates(path: str) -> list[str]:
    programs = [Path(folder) / "docker" for folder in path.split(os.pathsep) if folder]
    usable = [program for program in programs if program.is_file() and os.access(program, os.X_OK)]
    return [str(program) for program in dict.fromkeys(usable)]


def _has_compose(program: str) -> bool:
    try:
        return process.run([program, "compose", "version", "--short"], timeout=TIMEOUT).code == 0
    except CdafError:
        return False


def endpoint() -> str:
    """Where the engine listens: `DOCKER_HOST`, else what the client's current context says."""
    host = os.environ.get("DOCKER_HOST")
    return host or _of_context(os.environ.get("DOCKER_CONTEXT") or _current_context())


def _current_context() -> str:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        return str(json.loads((folder / "config.json").read_bytes()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


@cache
def _of_context(name: str) -> str:
    if name in ("", "default"):
        return _DEFAULT
    told = process.run([binary(), "context", "inspect", name], timeout=TIMEOUT)
    if told.code:
        raise EngineError(f"docker context {name} is not known", "run `docker context ls`", told.stderr.decode())
    return str(json.loads(told.stdout)[0]["Endpoints"]["docker"]["Host"])


def is_local(where: str) -> bool:
    """Whether the engine's published ports are on this machine's loopback."""
    return where.startswith(("unix://", "npipe://"))


def api(timeout: int = TIMEOUT) -> "docker.APIClient":
    """The engine's API, one connection pool for each thread. Raises EngineError when nobody answers."""
    return _api(endpoint(), threading.get_ident(), timeout)


@cache
def _api(where: str, _thread: int, timeout: int) -> "docker.APIClient":
    with asking("the engine"):
        import docker
        from docker.utils import kwargs_from_env

        tls = kwargs_from_env().get("tls")
        try:
            return docker.APIClient(
                base_url=where,
                version="auto",
                timeout=timeout,
                tls=tls or False,
                use_ssh_client=where.startswith("ssh:"),
            )
        except ValueError as error:
            if isinstance(error, OSError):  # requests' own are both
                raise
            raise EngineGone(f"the engine's address {where} is none: {error}", _START) from error


def whales(**how: Any) -> Any:
    """The client program, driven; `how` goes to python-on-whales' DockerClient."""
    import python_on_whales

    return python_on_whales.DockerClient(client_call=[binary()], **how)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn any failure of the engine, or of the way to it, into an EngineError that names `what` was asked.

    Other modules may look for "no such" answers first; see `missing`.
    """
    try:
        yield
    except CdafError:
        raise
    except Exception as error:
        told = _explain(error, what)
        if told is None:
            raise
        raise told from error


def missing(error: Exception) -> bool:
    """Whether the engine said that there is no such thing."""
    return getattr(getattr(error, "response", None), "status_code", None) == _NOT_FOUND


def _explain(error: Exception, what: str) -> EngineError | None:
    """The error for people; None when it is not the engine's."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return None  # this machine's own disk
    if said := getattr(error, "explanation", None):
        return EngineError(f"{what}: {said if isinstance(said, str) else said.decode(errors='replace')}".strip())
    if _is_of(error, "python_on_whales"):
        return of_program((getattr(error, "stderr", None) or str(error)).strip(), what)
    if isinstance(error, PermissionError) or "Permission denied" in str(error):
        return EngineGone(
            f"no permission to speak to the engine at {endpoint()}", "join the group of its socket, or run as its owner"
        )
    if _is_of(error, "docker", "urllib3", "requests", "http") or isinstance(error, OSError):
        return EngineGone(f"the engine at {endpoint()} does not answer", _START, str(error))
    return None


def of_program(output: str, what: str) -> EngineError:
    """The error for a client program that failed: because of what it was asked, or because the engine is gone."""
    try:
        api().ping()
    except Exception:
        return EngineGone(f"the engine at {endpoint()} does not answer", _START, output)
    return EngineError(f"{what} failed: {_reason(output)}", "read the output of docker above", output)


def _reason(output: str) -> str:
    """The engine's last word, else the last line that a client program said, without what stands around it."""
    lines = output.splitlines() or ["it says nothing"]
    said = [line for line in lines if line.startswith(_DAEMON)] or lines
    return re.sub(_AROUND, "", said[-1].strip().removeprefix(_DAEMON)).removesuffix(": unknown")


def _is_of(error: Exception, *packages: str) -> bool:
    return any(kind.__module__.partition(".")[0] in packages for kind in type(error).__mro__)

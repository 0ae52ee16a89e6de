"""Compose projects: files written to a folder of their own, services started one set at a time."""

import fcntl
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from cdaf.engine.client import EngineGone, api, asking, whales
from cdaf.errors import EngineError, SmokeError

STOP_SECONDS = 10
_PREFIX = "cdaf-compose-"
_LOOK = "look at its command, and whether the image has it"


class Project(msgspec.Struct, frozen=True):
    """A compose project: its name, its files in the order of merging, and the folder they lie in."""

    name: str
    files: tuple[Path, ...]
    folder: Path


@contextmanager
def project(name: str, files: Mapping[str, bytes]) -> Iterator[Project]:
    """Write the files into a new folder, so that no `.env` beside them is read; the folder goes at the end."""
    with _folder() as folder:
        paths = []
        for each, data in files.items():
            path = folder / each
            path.write_bytes(data)
            paths.append(path)
        yield Project(name, tuple(paths), folder)


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder, locked as long as its process lives; what killed runs of this user left is removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_unowned(left)
    folder, handle = _locked()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _locked() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):  # until it bears its lock, another process may take it for a leftover
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, handle
            os.close(handle)


def _remove_unowned(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_uid == os.getuid():
            shutil.rmtree(folder)
    finally:
        os.close(handle)


def config(of: Project) -> dict[str, Any]:
    """The project as compose merges and reads it. Raises SmokeError when it cannot."""
    try:
        with asking("docker compose config"):
            found: dict[str, Any] = _whales(of).compose.config(return_json=True)
            return found
    except EngineGone:
        raise
    except EngineError as error:
        raise SmokeError(
            "the compose files do not go together", "mend them; compose says where", error.output
        ) from error


def up(of: Project, services: Sequence[str], hint: str = _LOOK) -> None:
    """Create and start services, not what they depend on, and return at once. Raises SmokeError if one does not."""
    with _starting(", ".join(services), hint):
        _whales(of).compose.up(list(services), detach=True, dependencies=False, no_build=True, quiet=True)


def one_off(
    of: Project,
    service: str,
    name: str,
    command: Sequence[str] = (),
    env: Mapping[str, str] = {},
    hint: str = _LOOK,
) -> None:
    """Start one more container of a service, with a command of its own, and return at once; raises as `up`.

    The command is whole: what the image has for an entry point does not go before it.
    """
    with _starting(" ".join(command) or service, hint):
        _whales(of).compose.run(
            service,
            list(command[1:]),
            detach=True,
            tty=False,
            dependencies=False,
            name=name,
            envs=dict(env),
            entrypoint=shlex.quote(command[0]) if command else None,
        )


@contextmanager
def _starting(what: str, hint: str) -> Iterator[None]:
    try:
        with asking(f"starting {what}"):
            yield
    except EngineGone:
        raise
    except EngineError as error:
        raise SmokeError(error.message, hint, error.output) from error


def restart(container: str) -> float:
    """Stop a container as the engine stops one for an update, and start it again; returns the seconds it took."""
    began = time.monotonic()
    with asking("restarting the service"):
        api(timeout=STOP_SECONDS + 30).restart(container, timeout=STOP_SECONDS)
    return time.monotonic() - began


def _whales(of: Project) -> Any:
    nothing = of.folder / "none.env"
    nothing.touch()
    return whales(
        compose_files=list(of.files),
        compose_project_name=of.name,
        compose_project_directory=of.folder,
        compose_env_files=[nothing],
    )


def removal(name: str) -> str:
    """The command that takes a kept project down."""
    host = os.environ.get("DOCKER_HOST")
    return f"{f'DOCKER_HOST={host} ' if host else ''}docker compose -p {name} down --volumes --remove-orphans"

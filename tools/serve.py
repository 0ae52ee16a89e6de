"""Servers that live as long as one test: container registries and a package index, on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import registry, state
from tools.state import ToolError


@dataclass(frozen=True, slots=True)
class Registry:
    """A running docker-registry: where it listens (`127.0.0.1:PORT`), who may log in, where its blobs lie."""

    authority: str
    user: str
    password: str
    storage: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.authority}"


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """A running pypiserver: what to upload to, what to install from, and the folder that it serves."""

    upload: str
    simple: str
    user: str
    password: str
    folder: Path


@contextmanager
def serving(
    folder: Path, user: str = "", password: str = "", read_only: bool = False, port: int = 0
) -> Iterator[Registry]:
    """A registry of its own below `folder`, with a login when `user` is given; the same folder serves again later."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or state.free_port()
    storage = folder / "storage"
    htpasswd = _htpasswd(folder / "htpasswd", user, password) if user else None
    config = folder / "config.yml"
    config.write_text(registry.configuration(storage, port, htpasswd, read_only))
    command = [registry.install(), "serve", str(config)]
    with _server(command, folder / "log", port, "/v2/"):
        yield Registry(f"127.0.0.1:{port}", user, password, storage, port)


@contextmanager
def index(folder: Path, user: str = "", password: str = "") -> Iterator[PackageIndex]:
    """A package index that takes uploads into `folder`, from anybody or from `user` alone; it refuses to overwrite."""
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    port = state.free_port()
    command = [sys.executable, str(Path(__file__).with_name("pypi.py")), str(port), str(packages)]
    env = {"CDAF_TEST_PASSWORD": password}
    with _server([*command, user] if user else command, folder / "log", port, "/", env):
        base = f"http://127.0.0.1:{port}"
        yield PackageIndex(f"{base}/", f"{base}/simple/", user, password, packages)


@contextmanager
def _server(
    command: Sequence[str], log: Path, port: int, path: str, env: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as output:
        given = registry.clean_environment() | dict(env or {})
        child = subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        state.wait(lambda: registry.get(port, path) != 0 or child.poll() is not None, 30, 0.02)
        if child.poll() is not None or not registry.get(port, path):
            raise ToolError(f"{Path(command[0]).name} did not start", "", log.read_text(errors="replace")[-2000:])
        yield
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _htpasswd(path: Path, user: str, password: str) -> Path:
    """A password file of one line; docker-registry reads bcrypt alone (imported here: uv's environment has it)."""
    import bcrypt

    secret = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4))
    path.write_text(f"{user}:{secret.decode()}\n")
    return path

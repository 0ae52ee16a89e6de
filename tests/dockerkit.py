"""Services with a Dockerfile of their own, small ones, in repositories of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from cdaf import flow
from cdaf.bundles import bundle
from cdaf.bundles.bundle import Bundle
from tests import makers

PYTHON = "python:3.13-slim"
COMPILED = f"FROM {PYTHON} AS build\nRUN echo made > /made\n"
TINY = f'{COMPILED}FROM scratch\nCOPY --from=build /made /made\nCOPY hello /hello\nUSER 10001\nCMD ["/made"]\n'
CONFIG = '[service]\nname = "tiny"\nversion = "1.0.0"\n'


def service(
    folder: Path, dockerfile: str = TINY, more: str = "", files: Mapping[str, str | bytes] = {}, config: str = CONFIG
) -> Path:
    """A committed service; `more` is added to its cdaf.toml."""
    made = {"Dockerfile": dockerfile, "cdaf.toml": config + more, "hello": "hello\n", **files}
    return makers.repository(folder, made)


def package(root: Path, *, locked: bool = False) -> Bundle:
    """Package it."""
    return flow.package(root, root / "dist", locked=locked)


def again(root: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Bundle:
    """Package it anew: nothing that was kept serves, and BuildKit builds each step again."""
    monkeypatch.setenv("CDAF_CACHE", str(cache))
    monkeypatch.setenv("CDAF_DOCKER_CACHE", "false")
    try:
        return flow.package(root, root / "again")
    finally:
        monkeypatch.delenv("CDAF_DOCKER_CACHE")


def paths(opened: Bundle) -> dict[str, str]:
    """The files of the image with their layers' own modes, by path."""
    from cdaf.bundles import show

    [found] = show.paths(opened).values()
    return {each.path: each.mode for each in found if each.kind == "file"}


def content(opened: Bundle, path: str) -> bytes:
    """A file's bytes out of the sealed layers."""
    import io
    import tarfile

    for layer in reversed(opened.manifest.images[0].layers):
        data = bundle.data(opened, f"images/blobs/{layer.digest.replace(':', '/')}")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            if path in tar.getnames():
                file = tar.extractfile(path)
                assert file
                return file.read()
    raise FileNotFoundError(path)


def left_by(pid: int) -> list[str]:
    """Images that builds of a process have left in the engine; tests beside this one build, too."""
    from cdaf.engine.client import api

    found = api().images(filters={"label": "io.cdaf.owner"}, all=True)
    return [each["Id"] for each in found if f"/{pid}/" in each["Labels"]["io.cdaf.owner"]]


def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the client at where no engine is."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{os.sep}nowhere/docker.sock")

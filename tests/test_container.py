"""Commands of a build in a container: what is put into it is written while the engine takes it."""

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cdaf.errors import EngineError
from cdaf.images.content import of_bytes
from cdaf.images.plan import Place
from cdaf.languages._shared import container
from cdaf.languages._shared.tree import Leaf
from cdaf.projects.pins import Base
from tests import stands

pytestmark = pytest.mark.docker
BIG = 5 << 20


def base(engine: object) -> Base:
    return Base(reference=stands.PYTHON, platform="linux/amd64", digest=stands.index_digest(stands.PYTHON))


def running() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("cdaf-tar")]


def test_more_than_a_pipe_holds_arrives_whole(engine: object, tmp_path: Path) -> None:
    data = os.urandom(BIG)
    leaf = tmp_path / "leaf"
    leaf.write_text("tracked")
    ran = container.run(
        base(engine),
        ["/bin/sh", "-c", f"cat leaf && sha256sum < /big/data && cp leaf {container.OUT}/"],
        [Place("/big/data", "/big/data", 0o644)],
        {"/big/data": of_bytes(data)},
        folder="/app",
        leaves=[Leaf("leaf", leaf)],
    )

    assert (ran.code, ran.output) == (0, f"tracked{hashlib.sha256(data).hexdigest()}  -")
    assert running() == []


def test_what_cannot_be_read_is_the_error_not_the_engine(engine: object, tmp_path: Path) -> None:
    leaves = [Leaf("gone", tmp_path / "gone")]
    with pytest.raises(FileNotFoundError, match="gone"):
        container.run(base(engine), ["true"], [], {}, folder="/app", leaves=leaves)
    assert running() == []


def test_an_engine_that_takes_nothing_ends_the_writing(engine: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise EngineError("no")

    monkeypatch.setattr("cdaf.engine.run", refuse)
    entries = [Place("/big/data", "/big/data", 0o644)]
    with pytest.raises(EngineError, match="no"):
        container.run(base(engine), ["true"], entries, {"/big/data": of_bytes(bytes(BIG))}, folder="/app")
    assert running() == []

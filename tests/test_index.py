"""The tools' package index: files on loopback, as tools of several languages ask for them."""

from __future__ import annotations

import http.client
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import index, state


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server of its own."""
    home = Path(tempfile.mkdtemp(prefix="cdaf-"))
    monkeypatch.setenv("CDAF_TOOLS_STATE", str(home))
    started = index.start()
    (index.folder() / "gems").mkdir()
    (index.folder() / "gems" / "a.gem").write_bytes(b"0123456789")
    (home / "secret").write_text("secret")
    try:
        yield started
    finally:
        assert index.stop()
        shutil.rmtree(home)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    told = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return told


def test_files_are_served_whole_in_part_and_not_at_all(port: int) -> None:
    status, headers, data = ask(port, "/gems/a.gem")
    assert (status, data, headers["Content-Length"]) == (200, b"0123456789", "10")
    assert ask(port, "/gems/a.gem", If_None_Match=headers["ETag"])[::2] == (304, b"")
    assert ask(port, "/gems/a.gem", Range="bytes=8-")[::2] == (206, b"89")
    assert ask(port, "/gems/a.gem", Range="bytes=0-1")[1]["Content-Range"] == "bytes 0-1/10"
    assert ask(port, "/gems/a.gem", Range="bytes=10-")[0] == 416
    assert ask(port, "/gems/a.gem", "HEAD")[::2] == (200, b"")
    assert [ask(port, path)[0] for path in ("/", "/gems/", "/gems", "/../secret", "/%2e%2e/secret")] == [404] * 5


def test_one_server_runs_and_keeps_its_port(port: int) -> None:
    assert index.start() == port == index.running()
    assert index.url("ruby", "versions") == f"http://127.0.0.1:{port}/ruby/versions"
    index.stop()
    assert index.running() is None
    assert index.start() == port


def test_makers_work_only_when_there_is_something_to_do(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAKERS", {"ruby": "tools.gems"})
    assert port
    assert not index.ready()
    state.write("gems", {"key": "of another time"})
    assert not index.ready()
    monkeypatch.setattr(index, "MAKERS", {})
    assert index.ready()

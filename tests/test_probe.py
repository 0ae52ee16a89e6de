"""Probes from outside, against servers that answer, refuse, hang up, or say nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cdaf.net import probe
from tests import loopback


class Handler(loopback.Quiet):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 200))
        self.end_headers()


@pytest.fixture
def served() -> Iterator[int]:
    with loopback.serving(Handler) as address:
        yield int(address.rpartition(":")[2])


@pytest.fixture
def rude() -> Iterator[int]:
    """A listener that hangs up on everybody, as the engine's proxy does where nobody listens behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        accepting = threading.Thread(target=hang_up, daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        loopback.end(listener, accepting)


@pytest.mark.parametrize(("status", "ready"), [(200, True), (204, True), (302, False), (404, False), (503, False)])
def test_any_success_is_ready(served: int, status: int, ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert probe.page("127.0.0.1", served, f"/{status}") == (ready, f"GET /{status} answered {status}", status)


def test_nobody_listens(rude: int, free_port: int) -> None:
    for port in (rude, free_port):
        found = probe.page("127.0.0.1", port, "/healthz")
        assert not found.ready
        assert "nobody listens" in found.text
        found = probe.accepts("127.0.0.1", port)
        assert not found.ready
        assert "nobody listens" in found.text


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert probe.page("127.0.0.1", port, "/", timeout=0.2) == probe.Answer(False, "GET /: no answer in time")
        assert probe.accepts("127.0.0.1", port).ready


@pytest.fixture
def endless() -> Iterator[Callable[[bytes, bytes], int]]:
    """Start servers that send one thing, then another for ever."""
    listeners = []

    def serve(first: bytes, rest: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def send() -> None:
            try:
                connection, _ = listener.accept()
                connection.sendall(first)
                while True:
                    connection.sendall(rest)
                    time.sleep(0.01)
            except OSError:
                return

        accepting = threading.Thread(target=send, daemon=True)
        accepting.start()
        listeners.append((listener, accepting))
        port: int = listener.getsockname()[1]
        return port

    yield serve
    for listener, accepting in listeners:
        loopback.end(listener, accepting)


@pytest.mark.parametrize(
    ("first", "rest", "said"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", ": no answer in time"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a", ": no answer in time"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 99, ": got more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 9999, " answered 200"),
    ],
)
def test_an_answer_that_never_ends(
    endless: Callable[[bytes, bytes], int], first: bytes, rest: bytes, said: str
) -> None:
    found = probe.page("127.0.0.1", endless(first, rest), "/\u00fc", timeout=0.3)
    assert found[:2] == ("200" in said, "GET /\u00fc" + said)


def test_whoever_accepts_a_connection_listens(served: int) -> None:
    assert probe.accepts("127.0.0.1", served).ready

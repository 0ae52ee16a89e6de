"""Probes from outside, against servers that answer, refuse, hang up, or say nothing."""

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cdaf import http_probe


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 200))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


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

        threading.Thread(target=hang_up, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("status", "ready"), [(200, True), (204, True), (302, False), (404, False), (503, False)])
def test_any_success_is_ready(served: int, status: int, ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert http_probe.page("127.0.0.1", served, f"/{status}") == (ready, f"GET /{status} answered {status}")


def test_nobody_listens(rude: int, free_port: int) -> None:
    for port in (rude, free_port):
        found = http_probe.page("127.0.0.1", port, "/healthz")
        assert not found.ready
        assert "nobody listens" in found.text
        found = http_probe.accepts("127.0.0.1", port)
        assert not found.ready
        assert "nobody listens" in found.text


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert http_probe.page("127.0.0.1", port, "/", timeout=0.2) == (False, "GET /: no answer in time")
        assert http_probe.accepts("127.0.0.1", port).ready


def test_whoever_accepts_a_connection_listens(served: int) -> None:
    assert http_probe.accepts("127.0.0.1", served).ready

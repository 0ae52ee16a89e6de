"""Asking a service from outside whether it is ready, without any tool inside its container."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import quote

TIMEOUT = 5.0
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what a URL may hold as it stands
_MOMENT = 0.3


class Answer(NamedTuple):
    """What came back: ready or not, in words, and the status of an answer by HTTP."""

    ready: bool
    text: str
    status: int = 0


def page(host: str, port: int, path: str, timeout: float = TIMEOUT) -> Answer:
    """Get a page; any 2xx is ready. A proxy is never asked, a redirect not followed."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    late = threading.Event()
    try:
        connection.connect()
        with _until(connection.sock, timeout, late):
            headers = {"User-Agent": "cdaf", "Connection": "close"}
            connection.request("GET", quote(path, safe=_SAFE), headers=headers)
            status = connection.getresponse().status
        if not late.is_set():
            return Answer(200 <= status < 300, f"GET {path} answered {status}", status)
        return Answer(False, f"GET {path}: no answer in time")
    except (OSError, http.client.HTTPException) as error:
        return Answer(False, f"GET {path}: {'no answer in time' if late.is_set() else _reason(error)}")
    finally:
        connection.close()


@contextmanager
def _until(connection: socket.socket, seconds: float, late: threading.Event) -> Iterator[None]:
    """Hang up when the time is over: one that sends a byte now and then never runs into the socket's own limit."""

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def accepts(host: str, port: int) -> Answer:
    """Whether somebody listens: the engine's proxy takes every connection, and hangs up where nobody does."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT) as connection:
            return _spoken(connection)
    except OSError as error:
        return Answer(False, f"the connection is refused: {_reason(error)}")


def _spoken(connection: socket.socket) -> Answer:
    connection.settimeout(_MOMENT)
    try:
        alive = connection.recv(1) != b""
    except TimeoutError:
        return Answer(True, "the connection is accepted")
    return Answer(alive, "the server speaks first" if alive else "the connection is closed at once: nobody listens")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | ConnectionRefusedError):
        return "nobody listens"
    return str(error) or type(error).__name__

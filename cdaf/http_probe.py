"""Asking a service from outside whether it is ready, without any tool inside its container."""

import http.client
import socket
from typing import NamedTuple

TIMEOUT = 5.0
_MOMENT = 0.3


class Answer(NamedTuple):
    """What came back: ready or not, and in words."""

    ready: bool
    text: str


def page(host: str, port: int, path: str, timeout: float = TIMEOUT) -> Answer:
    """Get a page; any 2xx is ready. A proxy is never asked, a redirect not followed."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"User-Agent": "cdaf", "Connection": "close"})
        status = connection.getresponse().status
        return Answer(200 <= status < 300, f"GET {path} answered {status}")
    except (OSError, http.client.HTTPException) as error:
        return Answer(False, f"GET {path}: {_reason(error)}")
    finally:
        connection.close()


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

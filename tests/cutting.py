"""A line to a real server that breaks: a proxy on loopback that counts what passes, and cuts it when told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests import loopback


@dataclass
class Line:
    """The proxy's address, what it is told to cut, and the first line of every request that came through."""

    authority: str
    cuts: list[int] = field(default_factory=list)  # bytes of a large request after which its connection ends
    asked: list[str] = field(default_factory=list)
    up: int = 0  # bytes that went to the server, all told
    down: int = 0

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method came whose path holds `part`."""
        return len([each for each in self.asked if each.startswith(f"{method} ") and part in each])


@contextmanager
def cutting(authority: str) -> Iterator[Line]:
    """Stand in front of a server; requests are noted by what a packet begins with, which serves for one client."""
    host, _, port = authority.partition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    line = Line(f"127.0.0.1:{listener.getsockname()[1]}")
    open_: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((host, int(port)))
            open_.extend((near, far))
            threading.Thread(target=_up, args=(line, near, far), daemon=True).start()
            threading.Thread(target=_down, args=(line, far, near), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield line
    finally:
        loopback.end(listener, accepting)
        for each in open_:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _up(line: Line, near: socket.socket, far: socket.socket) -> None:
    passed = 0
    with suppress(OSError):
        while data := near.recv(1 << 16):
            if data[:7].split(b" ")[0] in {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"}:
                line.asked.append(data.partition(b"\r\n")[0].decode())
                passed = 0
            passed += len(data)
            line.up += len(data)
            if line.cuts and passed > line.cuts[0]:
                far.sendall(data[: len(data) - (passed - line.cuts.pop(0))])
                break
            far.sendall(data)
    for each in (near, far):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _down(line: Line, far: socket.socket, near: socket.socket) -> None:
    with suppress(OSError):
        while data := far.recv(1 << 16):
            line.down += len(data)
            near.sendall(data)
        near.shutdown(socket.SHUT_WR)

"""A wire to the engine that can be cut: a proxy in front of its socket."""

import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from tests import loopback


class Wire:
    """Pass connections on to a Unix socket; `seen` are all bytes that went to the engine."""

    def __init__(self, endpoint: str) -> None:
        self._behind = endpoint.removeprefix("unix://")
        self._folder = tempfile.TemporaryDirectory(prefix="wire-")
        path = Path(self._folder.name) / "socket"
        self.address = f"unix://{path}"
        self.seen = b""
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._path = path
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Wire":
        self._accepting.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cut()
        self._folder.cleanup()

    def cut(self) -> None:
        """Break every connection, and take no more."""
        self._path.unlink(missing_ok=True)
        if self._listener.fileno() != -1:
            loopback.end(self._listener, self._accepting)
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._behind)
            self._open += [near, far]
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, noted: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if noted:
                    self.seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

"""HTTP servers of a test's own, each on a free port of loopback."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Quiet(http.server.BaseHTTPRequestHandler):
    """A handler that logs nothing; what `serving` is given stands in its attributes."""

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def end(listener: socket.socket, accepting: threading.Thread) -> None:
    """Close a listener in whose `accept` a thread waits; that thread has to end first.

    A close alone wakes nobody: the call waits on, by a descriptor that the next test's server may get, and whenever the
    system has calls begun anew it takes a connection from that server.
    """
    listener.shutdown(socket.SHUT_RDWR)
    accepting.join()
    listener.close()


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler], **known: object) -> Iterator[str]:
    """The address of a server that answers by `handler`, which finds `known` in its attributes; no slash at its end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), known))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A package index of files on loopback, for tests of languages whose public index may be out of reach.

One server for all of them: it serves the folder `folder()`, and each language has a folder of its own below it
(`ruby/`, `composer/`), written by a maker of its own: a module in `MAKERS`, by the folder's name, with two functions:

    is_made(folder: Path) -> bool                       whether the folder holds what would be made now; milliseconds
    make(folder: Path, engine: tools.engine.Engine)     write it, with whatever of the engine's images it needs

    from tools import index
    index.start() -> int          the port; started if it does not run, the same port over restarts
    index.running() -> int | None the port, if it runs and answers
    index.stop() -> bool          stop it; its files stay
    index.folder() -> Path        what is served
    index.ready() -> bool         it runs, and every maker is done
    index.url(*parts) -> str      http://127.0.0.1:PORT/parts

`python3 tools/bare.py up` brings it up, and `env` names it: CDAF_TOOLS_INDEX=http://127.0.0.1:PORT. Answers carry an
ETag and a length, ranges and HEAD work, connections stay open. A path that ends in `/` or names a folder answers 404:
nothing is listed. As a program (`python3 tools/index.py PORT FOLDER`) it serves until it is stopped.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import registry, state
from tools.state import ToolError

if TYPE_CHECKING:
    from tools.engine import Engine

NAME = "index"
PORT = 5056
MAKERS: dict[str, str] = {
    "ruby": "tools.gems",
    "composer": "tools.composer_index",
}  # the folder below `folder()`, and the module that writes it
_TYPES = {".json": "application/json", ".gz": "application/gzip", "": "text/plain; charset=utf-8"}


def folder() -> Path:
    """What is served."""
    place = state.folder() / "index"
    place.mkdir(exist_ok=True)
    return place


def port() -> int:
    """The port that the server has, or had when it last ran, or would like."""
    return int(state.read(NAME).get("port") or PORT)


def url(*parts: str) -> str:
    """The address of something below the folder."""
    return "/".join((f"http://127.0.0.1:{port()}", *parts))


def running() -> int | None:
    """The port of the server, if it runs and answers."""
    return port() if state.alive(NAME) and registry.get(port(), "/") else None


def start() -> int:
    """The server's port; started if it does not run. Call it under the lock."""
    if known := running():
        return known
    state.stop(NAME)
    chosen = state.free_port(port())
    state.write(NAME, {"port": chosen})
    state.spawn(NAME, [sys.executable, str(Path(__file__).resolve()), str(chosen), str(folder())])
    state.wait(lambda: registry.get(chosen, "/") != 0 or state.alive(NAME) is None, 30)
    if running() != chosen:
        raise ToolError("the package index did not start", "", state.last_lines(NAME))
    return chosen


def stop() -> bool:
    """Stop the server; its files stay."""
    return state.stop(NAME)


def ready() -> bool:
    """Whether the server runs, and every maker is done."""
    return running() is not None and not _unmade()


def up(engine: Engine) -> None:
    """Start the server and let every maker write its folder that has something to do. Call it under the lock."""
    start()
    for name, maker in _unmade().items():
        state.say(f"filling the package index: {name}")
        maker.make(folder() / name, engine)


def _unmade() -> dict[str, Any]:
    makers = {name: importlib.import_module(module) for name, module in MAKERS.items()}
    return {name: maker for name, maker in makers.items() if not maker.is_made(folder() / name)}


class _Handler(BaseHTTPRequestHandler):
    """Files of a folder by GET and HEAD, with ETag and ranges (RFC 9110)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    top: Path

    def do_GET(self) -> None:
        """Answer with a file's bytes."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with a file's headers."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

    def _answer(self, *, with_body: bool) -> None:
        place = (self.top / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not place.is_relative_to(self.top) or not place.is_file():
            self._send(HTTPStatus.NOT_FOUND, b"not found\n", {}, with_body=with_body)
            return
        data = place.read_bytes()
        # By what Bundler's compact index checks what it appended: the MD5 of the whole
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        headers = {
            "ETag": tag,
            "Accept-Ranges": "bytes",
            "Content-Type": _TYPES.get(place.suffix, "application/octet-stream"),
        }
        if tag in self.headers.get("If-None-Match", ""):
            self._send(HTTPStatus.NOT_MODIFIED, b"", headers, with_body=False)
            return
        self._part(data, headers, with_body=with_body)

    def _part(self, data: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._send(HTTPStatus.OK, data, headers, with_body=with_body)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first > last:
            told = headers | {"Content-Range": f"bytes */{len(data)}"}
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", told, with_body=with_body)
            return
        told = headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self._send(HTTPStatus.PARTIAL_CONTENT, data[first : last + 1], told, with_body=with_body)

    def _send(self, status: HTTPStatus, data: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)


def main(number: str, top: str) -> None:
    """Serve until stopped."""
    _Handler.top = Path(top).resolve()
    ThreadingHTTPServer(("127.0.0.1", int(number)), _Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

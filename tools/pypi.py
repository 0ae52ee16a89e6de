"""Serve a folder as a package index: `python tools/pypi.py PORT FOLDER [USER]`, the password in CDAF_TEST_PASSWORD.

A program of its own because pypiserver's command line wants a further package to read password files.
"""

from __future__ import annotations

import hmac
import os
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer


def main(port: str, folder: str, user: str = "") -> None:
    """Serve until stopped; uploads take the login when there is one, reading never does."""
    import pypiserver  # type: ignore[import-untyped]
    from pypiserver import bottle_wrapper as bottle

    password = os.environ.get("CDAF_TEST_PASSWORD", "")

    def known(name: str, secret: str) -> bool:
        return name == user and hmac.compare_digest(secret.encode(), password.encode())

    app = pypiserver.app(
        roots=[Path(folder)],
        disable_fallback=True,
        overwrite=False,
        authenticate=["update"] if user else [],
        auther=known,
    )
    bottle.run(app, host="127.0.0.1", port=int(port), server="wsgiref", server_class=_Threads, quiet=True)


class _Threads(ThreadingMixIn, WSGIServer):
    """One thread a request: installers open several connections at once."""

    daemon_threads = True


if __name__ == "__main__":
    main(*sys.argv[1:])

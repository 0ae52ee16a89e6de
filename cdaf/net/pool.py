"""Connections: one pool for each scheme and proxy, the system's trust, and a way to hang up on all of them at once."""

import functools
import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from cdaf.errors import CdafError
from cdaf.net import transfers
from cdaf.net.pace import paced

if TYPE_CHECKING:
    from urllib3 import PoolManager

BLOCK = 1 << 18
QUIET = 60.0  # seconds that a server may say nothing, or take to accept a block
_making = threading.Lock()
_sockets: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine by its form alone; nothing is looked up."""
    return host == "localhost" or host.endswith(".localhost") or host == "::1" or host.startswith("127.")


def manager(url: str) -> "PoolManager":
    """The pool for a URL."""
    parts = urlsplit(url)
    # Without the lock, threads that start together would each read all of the system's certificates.
    with _making:
        return _pool(parts.scheme, "" if is_loopback(parts.hostname or "") else _proxy(parts))


def _hang_up() -> None:
    """End every connection: whoever waits for an answer wakes with an error."""
    for each in list(_sockets):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


transfers.on_interrupt(_hang_up)


def _proxy(parts: SplitResult) -> str:
    """The proxy that the environment names for a URL; loopback never has one."""
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all") or ""


@functools.cache
def _pool(scheme: str, proxy: str) -> "PoolManager":
    import urllib3

    options: dict[str, Any] = {"num_pools": 16, "maxsize": 8, "blocksize": BLOCK}
    if scheme == "https":
        options["ssl_context"] = _tls()
    if proxy:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        login, _, address = parts.netloc.rpartition("@")
        headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
        made: PoolManager = urllib3.ProxyManager(f"{parts.scheme}://{address}", proxy_headers=headers, **options)
    else:
        made = urllib3.PoolManager(**options)
    made.pool_classes_by_scheme = {name: _watched(kind) for name, kind in made.pool_classes_by_scheme.items()}
    return made


def _watched(kind: Any) -> Any:
    """A kind of pool whose connections are known to `_hang_up`, and whose answers are paced."""

    class Connection(kind.ConnectionCls):  # type: ignore[misc]
        """A connection that makes its socket known."""

        response_class = paced()

        def connect(self) -> None:
            """Connect."""
            super().connect()
            self.sock.settimeout(QUIET)  # urllib3 would send by the limit for connecting
            _sockets.add(self.sock)
            transfers.check()  # made while `_hang_up` ended the others, it would hold its thread until QUIET is over

    return type(kind.__name__, (kind,), {"ConnectionCls": Connection})


def _tls() -> Any:
    """The system's trust (SSL_CERT_FILE and SSL_CERT_DIR included), and what REQUESTS_CA_BUNDLE adds to it."""
    import ssl

    context = ssl.create_default_context()
    extra = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if extra:
        try:
            context.load_verify_locations(**{"capath" if os.path.isdir(extra) else "cafile": extra})  # noqa: PTH112
        except (OSError, ssl.SSLError) as error:
            raise CdafError(f"{extra} holds no certificates", "check REQUESTS_CA_BUNDLE") from error
    return context

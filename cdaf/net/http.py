"""The one door to HTTP: pooled connections, retries with back-off, redirects that carry no credentials elsewhere.

Messages name a URL without its userinfo, query and fragment, for those may hold secrets.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import msgspec

from cdaf import __version__
from cdaf.errors import CdafError
from cdaf.net import transfers
from cdaf.net.pace import TooSlow
from cdaf.net.pool import BLOCK, QUIET, is_loopback, manager

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = [
    "ATTEMPTS",
    "FORM",
    "LATER",
    "LONGEST_WAIT",
    "Body",
    "Readable",
    "Response",
    "clean",
    "close",
    "get",
    "is_loopback",
    "joined",
    "once",
    "pause",
    "read",
    "same_origin",
    "send",
    "stream",
]

ATTEMPTS = 5
LATER = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEPT_METHOD = frozenset({307, 308})
_MOST_REDIRECTS = 10
_CONNECT = 10.0
_FIRST_WAIT, LONGEST_WAIT = 0.2, 60.0
_EXCERPT = 1 << 16
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
FORM = "application/x-www-form-urlencoded"


class Readable(Protocol):
    """What a body is read from, and closed at its end."""

    def read(self, size: int = ..., /) -> bytes:
        """At most that many bytes, none at the end."""

    def close(self) -> None:
        """Give it up."""


Body = bytes | Callable[[], Readable] | None


class Response(msgspec.Struct, frozen=True):
    """An answer whose body is still to be read; `headers` know no case, `url` is the one that answered."""

    status: int
    headers: Mapping[str, str]
    url: str
    raw: Any

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *_: object) -> None:
        close(self)


def get(url: str, headers: Mapping[str, str] | None = None) -> Response:
    """GET, as `send` does it."""
    return send("GET", url, headers)


def send(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: Body = None,
    *,
    attempts: int = ATTEMPTS,
) -> Response:
    """Send a request and return whatever is answered, but for "try again later".

    A `body` that is a callable is opened afresh for each attempt; give its `Content-Length`. Answers 408, 429 and 5xx
    and lost connections are tried again, with growing waits or as `Retry-After` says. Raises CdafError, transient when
    later may be better.
    """
    for attempt in range(1, attempts + 1):
        try:
            response = _followed(method, url, dict(headers or {}), body)
        except CdafError as error:
            if not error.transient or attempt >= _worthwhile(error, attempts):
                raise
            transfers.wait(pause(attempt))
            continue
        if response.status not in LATER:
            return response
        wait = pause(attempt, response.headers.get("Retry-After"))
        if attempt == attempts or wait > LONGEST_WAIT:
            raise _gave_up(response, attempt)
        close(response)
        transfers.wait(wait)
    raise AssertionError("attempts is at least one")


def once(method: str, url: str, headers: Mapping[str, str] | None = None, body: Body = None) -> Response:
    """Send a request a single time, and return whatever is answered; for what is not sent again blindly.

    The answers that `send` would try again are those of LATER. Raises CdafError, transient when the connection breaks.
    """
    return _followed(method, url, dict(headers or {}), body)


def stream(response: Response) -> Iterator[bytes]:
    """The body in pieces, as it comes. Raises CdafError (transient) when the connection breaks before its end."""
    import urllib3

    try:
        for chunk in response.raw.stream(BLOCK, decode_content=False):
            transfers.check()
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _lost(response.url, error) from error
    finally:
        response.raw.release_conn()


def read(response: Response, limit: int = 1 << 26) -> bytes:
    """The whole body. Raises CdafError when it is longer than `limit` bytes or the connection breaks."""
    data = bytearray()
    for chunk in stream(response):
        data += chunk
        if len(data) > limit:
            response.raw.close()
            raise CdafError(f"{clean(response.url)} answered more than {limit} bytes")
    return bytes(data)


def close(response: Response) -> None:
    """Give the connection back; a short rest of the body is read so that it can be used again."""
    rest = response.raw.length_remaining
    try:
        if rest is None or rest > _EXCERPT:
            response.raw.close()
        else:
            response.raw.drain_conn()
    finally:
        response.raw.release_conn()


def clean(url: str) -> str:
    """A URL without userinfo, query and fragment, fit for messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def joined(url: str, location: str) -> str:
    """The URL that a `Location` header of an answer from `url` names. Raises CdafError when it is none."""
    try:
        found = urljoin(url, location)
        _origin(urlsplit(found))
    except ValueError as error:
        raise CdafError(f"{clean(url)} points to what is not a URL") from error
    return found


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common (RFC 6454)."""
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme, parts.hostname or "", port


def _followed(method: str, url: str, headers: dict[str, str], body: Body) -> Response:
    for _ in range(_MOST_REDIRECTS):
        response = _once(method, url, headers, body)
        target = response.headers.get("Location")
        follows = method in {"GET", "HEAD"} or response.status in _KEPT_METHOD
        if response.status not in _REDIRECTS or not target or not follows:
            return response
        close(response)
        url, headers = _redirected(url, joined(url, target), headers)
    raise CdafError(f"{clean(url)}: more than {_MOST_REDIRECTS} redirects")


def _redirected(url: str, target: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    parts = urlsplit(target)
    if parts.scheme not in {"http", "https"}:
        raise CdafError(f"{clean(url)} redirects to {parts.scheme or 'nowhere'}, which is not HTTP")
    if url.startswith("https:") and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise CdafError(f"{clean(url)} redirects from https to plain {clean(target)}")
    if not same_origin(url, target):
        if FORM in headers.values():  # a body of ours that is a login
            raise CdafError(f"{clean(url)} sends a login on to {clean(target)}")
        headers = {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}
    return target, headers


def _once(method: str, url: str, headers: dict[str, str], body: Body) -> Response:
    import urllib3

    content = body() if callable(body) else body
    sent: Any = content  # urllib3 calls it a file, and reads it only
    try:
        found: BaseHTTPResponse = manager(url).request(
            method,
            url,
            headers={"User-Agent": f"cdaf/{__version__}", "Accept-Encoding": "identity", **headers},
            body=sent,
            timeout=urllib3.Timeout(connect=_CONNECT, read=QUIET),
            retries=False,
            redirect=False,
            preload_content=False,
        )
    except urllib3.exceptions.LocationValueError as error:
        raise CdafError(f"{clean(url)} is not a URL") from error
    except ValueError:  # of a header or a port; its words would show the header
        raise CdafError(f"{clean(url)} cannot be asked: URL or login have characters that HTTP has not") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _lost(url, error) from error
    finally:
        if content is not None and not isinstance(content, bytes):
            content.close()
    return Response(found.status, found.headers, url, found)


def _lost(url: str, error: Exception) -> CdafError:
    """What a failure of the network means to a user; a certificate does not get better by waiting."""
    import urllib3

    causes = list(_chain(error))
    if any(isinstance(cause, urllib3.exceptions.SSLError) or type(cause).__module__ == "ssl" for cause in causes):
        reason = next((text for cause in causes if (text := getattr(cause, "verify_message", ""))), "TLS failed")
        return CdafError(
            f"{clean(url)}: no trusted connection: {reason}", "name your authority's certificates in SSL_CERT_FILE"
        )
    named = any(isinstance(cause, socket.gaierror) for cause in causes)
    hint = "check the name of the host and the network, and try again" if named else "check the network and try again"
    return CdafError(f"{clean(url)}: {_reason(causes)}", hint, transient=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        nested = next((each for each in error.args if isinstance(each, BaseException)), None)
        error = error.__cause__ or nested or error.__context__


def _reason(causes: list[BaseException]) -> str:
    import urllib3

    names = urllib3.exceptions
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its host name is not known here"
    if any(isinstance(cause, names.ProxyError) for cause in causes):
        return "the proxy does not answer"
    if slow := next((cause for cause in causes if isinstance(cause, TooSlow)), None):
        return str(slow)
    system = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
    late = any(isinstance(cause, TimeoutError | names.TimeoutError) for cause in causes)
    return system.lower() or ("no answer in time" if late else "the connection broke off")


def _worthwhile(error: CdafError, attempts: int) -> int:
    """How often to try after this failure: where nobody listens, or no such host is known, once more is enough."""
    return min(attempts, 2) if {ConnectionRefusedError, socket.gaierror} & {*map(type, _chain(error))} else attempts


def pause(attempt: int, retry_after: str | None = None) -> float:
    """Seconds to wait after an attempt (the first is 1): growing, or what the server asks for if that is more."""
    import random

    wait: float = _FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(1, 1.2)  # noqa: S311 - spreads clients, guards nothing
    return max(wait, _seconds(retry_after)) if retry_after else wait


def _seconds(retry_after: str) -> float:
    """`Retry-After` in seconds: a number or a date (RFC 9110, 10.2.3)."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    import email.utils

    try:
        return email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, TypeError):
        return 0.0


def _gave_up(response: Response, attempt: int) -> CdafError:
    times = "" if attempt == 1 else f" {attempt} times"
    try:
        output = read(response, _EXCERPT).decode(errors="replace").strip()[:500]
    except CdafError:
        output = ""
    return CdafError(
        f"{clean(response.url)} answered {response.status}{times}", "try again later", output, transient=True
    )

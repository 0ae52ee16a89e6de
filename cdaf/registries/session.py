"""Upload sessions (OCI distribution-spec 1.1, pushing blobs): begun, fed by chunks, asked for, closed, given up.

Each step goes by the URL that the step before was answered with; nothing is tried twice here.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, urlencode

import msgspec

from cdaf.errors import CdafError
from cdaf.images.oci import Descriptor
from cdaf.net import http, transfers
from cdaf.net.http import Response
from cdaf.registries import wire
from cdaf.registries.wire import Repository, refusal, request

CHUNK = 1 << 26  # below the 100 MB that proxies in front of registries commonly allow a request
_LOST = frozenset({404, 416})
_NO_MOUNT = frozenset({401, 403, 404})
_NO_CHUNKS = frozenset({400, 405, 501})
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
_OCTETS = "application/octet-stream"

Opened = Callable[[int, int], http.Readable]  # (start, length) of a blob


class Session(msgspec.Struct, frozen=True):
    """An upload under way: where the next step goes, how many bytes the registry has, its least size of a chunk."""

    url: str
    sent: int = 0
    least: int = 0


class Again(Exception):
    """A step failed, and asking the session's state and going on from there may mend it; `wait` is the registry's."""

    def __init__(self, error: CdafError, wait: float = 0.0) -> None:
        super().__init__(error.message)
        self.error, self.wait = error, wait


class NoChunks(Exception):
    """The registry takes no chunks, or none like this."""


class Mismatch(Exception):
    """The registry found other bytes than the digest says; the error is for the user."""

    def __init__(self, error: CdafError) -> None:
        super().__init__(error.message)
        self.error = error


def begin(where: Repository) -> Session:
    """A new session."""
    with request(where, "POST", "blobs/uploads/", {"Content-Length": "0"}, b"") as response:
        return _begun(where, response)


def mount(where: Repository, digest: str, source: str) -> Session | None:
    """Mount a blob from another repository; where that cannot be, a new session."""
    query = urlencode({"mount": digest, "from": source})
    with request(where, "POST", f"blobs/uploads/?{query}", {"Content-Length": "0"}, b"") as response:
        if response.status == 201:
            return None
        if response.status not in _NO_MOUNT:
            return _begun(where, response)
    # The right to push here may go without the right to read there.
    return begin(where if len(where.access.scopes) < 2 else wire.without_mounts(where))


def _begun(where: Repository, response: Response) -> Session:
    location = response.headers.get("Location")
    if response.status != 202 or not location:
        raise refusal(where, response, "an upload")
    least = response.headers.get("OCI-Chunk-Min-Length", "")
    return Session(http.joined(response.url, location), 0, int(least) if least.isdecimal() else 0)


def chunk(where: Repository, session: Session, blob: Descriptor, opened: Opened) -> Session:
    """Send the next chunk (PATCH). Raises Again, NoChunks."""
    length = min(max(CHUNK, session.least), blob.size - session.sent)
    headers = {
        "Content-Type": _OCTETS,
        "Content-Range": f"{session.sent}-{session.sent + length - 1}",
        "Content-Length": str(length),
    }
    with _step(where, "PATCH", session.url, headers, lambda: opened(session.sent, length)) as response:
        if response.status in _NO_CHUNKS:
            raise NoChunks
        if response.status not in {200, 201, 202, 204}:
            raise _failed(where, response, blob)
        after = _after(session, response, session.sent + length)
    if not session.sent < after.sent <= session.sent + length:
        text = f"{where.label} has {after.sent} bytes of {blob.digest} after {session.sent + length} were sent"
        raise Again(where.failure(text, "try again later", transient=True))
    return after


def close(where: Repository, session: Session, blob: Descriptor, opened: Opened) -> None:
    """Close the session (PUT), with the whole blob when nothing of it was sent. Raises Again, Mismatch."""
    url = f"{session.url}{'&' if '?' in session.url else '?'}digest={quote(blob.digest)}"
    length = blob.size - session.sent
    headers = {"Content-Length": str(length)} | ({"Content-Type": _OCTETS} if length else {})
    body = (lambda: opened(session.sent, length)) if length else b""
    with _step(where, "PUT", url, headers, body) as response:
        if response.status != 201:
            raise _failed(where, response, blob)
        found = response.headers.get("Docker-Content-Digest", blob.digest)
    if found != blob.digest and found.startswith("sha256:"):
        raise Mismatch(where.failure(f"{where.label} stored {found} where {blob.digest} of {where.name} was sent"))


def found(where: Repository, session: Session, size: int) -> Session | None:
    """What the registry has of an upload that broke off (GET); None when that cannot be known, or nothing can follow.

    The registry of Docker's calls one byte, and none, `0-0`.
    """
    with request(where, "GET", session.url) as response:
        if response.status not in {200, 202, 204}:
            return None
        known = _after(session, response, 0)
    return known if 1 < known.sent <= size else None


def cancel(where: Repository, session: Session) -> None:
    """Let the registry drop what it has (DELETE); a failure is of no account."""
    with suppress(CdafError):
        transfers.check()
        http.close(request(where, "DELETE", session.url, once=True))


def _step(where: Repository, method: str, url: str, headers: dict[str, str], body: http.Body) -> Response:
    try:
        return request(where, method, url, headers, body, once=True)
    except CdafError as error:
        raise (Again(error) if error.transient else error) from error


def _after(session: Session, response: Response, assumed: int) -> Session:
    """The session as an answer shows it: its next URL, and the range that the registry has."""
    location = response.headers.get("Location")
    url = http.joined(response.url, location) if location else session.url
    told = _RANGE.fullmatch(response.headers.get("Range", ""))
    last = int(told[1]) if told and told[1] != "0" else -1
    return msgspec.structs.replace(session, url=url, sent=last + 1 if last > 0 else assumed)


def _failed(where: Repository, response: Response, blob: Descriptor) -> Exception:
    error = refusal(where, response, f"blob {blob.digest}")
    if response.status in http.LATER:
        error = where.failure(
            f"{where.label} answers {response.status} to blob {blob.digest} of {where.name}",
            "try again later",
            error.output,
            transient=True,
        )
        return Again(error, http.pause(0, response.headers.get("Retry-After")))
    if response.status in _LOST:
        error.transient = True
        return Again(error)
    if "DIGEST_INVALID" in error.output:
        text = f"{where.label} received other bytes than {blob.digest} of {where.name}"
        return Mismatch(
            where.failure(text, "run the command again; what lies on the way may change them", error.output)
        )
    return error

"""Writing to registries (OCI distribution-spec 1.1, push): blobs first, manifests by digest, tags last.

A blob that is there is not sent; one that another repository of the same registry has is mounted.
"""

from collections.abc import Callable
from typing import IO
from urllib.parse import quote, urlencode

from cdaf import progress
from cdaf.errors import CdafError
from cdaf.images import oci
from cdaf.images.oci import Descriptor
from cdaf.net import http, transfers
from cdaf.registries import registry, wire
from cdaf.registries.wire import Repository, refusal, request

_LOST_SESSION = frozenset({404, 416})


class _Counted:
    """A file whose reader says how far it is; what a failed attempt sent is taken back."""

    def __init__(self, file: IO[bytes], moved: Callable[[int], None]) -> None:
        self._file, self._moved, self._sent = file, moved, 0

    def read(self, size: int = -1) -> bytes:
        transfers.check()
        chunk = self._file.read(size)
        self._sent += len(chunk)
        self._moved(len(chunk))
        return chunk

    def take_back(self) -> None:
        self._moved(-self._sent)
        self._sent = 0

    def close(self) -> None:
        self._file.close()


def has_blob(where: Repository, digest: str) -> bool:
    """Whether the repository has a blob. Raises PublishError when it may not be asked."""
    with request(where, "HEAD", f"blobs/{digest}") as response:
        if response.status not in {200, 404}:
            raise refusal(where, response, f"blob {digest}")
        return response.status == 200


def upload(
    where: Repository, blob: Descriptor, opened: Callable[[], IO[bytes]], source: str = "", label: str = ""
) -> bool:
    """Bring a blob into the repository; False when nothing had to be sent.

    `opened` gives its bytes from the start, once an attempt. `source` is a repository of the same registry that has it.
    A connection that breaks starts the upload afresh. Raises PublishError, transient when later may be better.
    """
    if has_blob(where, blob.digest):
        return False
    for attempt in range(1, http.ATTEMPTS + 1):
        try:
            return _upload(where, blob, opened, source, label or blob.digest[:19])
        except CdafError as error:
            if not error.transient or attempt == http.ATTEMPTS:
                raise
            transfers.wait(http.pause(attempt))
    raise AssertionError("the loop returns or raises")


def put_manifest(where: Repository, data: bytes, media_type: str, name: str = "") -> str:
    """Write a manifest under its digest, or the tag `name`, and read back what stands there now.

    Raises PublishError when the registry refuses it or then has something else.
    """
    digest = oci.digest_of(data)
    name = name or digest
    with request(where, "PUT", f"manifests/{name}", {"Content-Type": media_type}, data) as response:
        if response.status not in {200, 201, 202}:
            raise refusal(where, response, f"manifest {name}")
        _warnings(response)
    found = registry.head(where, name)
    if found != digest:
        raise where.failure(
            f"{where.label} has {found or 'nothing'} under {name} of {where.name} after {digest} was put"
        )
    return digest


def _upload(where: Repository, blob: Descriptor, opened: Callable[[], IO[bytes]], source: str, label: str) -> bool:
    location = _begin(where, blob.digest, source)
    if location is None:
        return False
    with progress.transfer(label, blob.size) as moved:
        _send(where, location, blob, opened, moved)
    return True


def _begin(where: Repository, digest: str, source: str) -> str | None:
    """The URL of a new upload session; None when the blob was mounted (201) and there is nothing to send."""
    mount = "?" + urlencode({"mount": digest, "from": source}) if source else ""
    with request(where, "POST", f"blobs/uploads/{mount}", {"Content-Length": "0"}, b"") as response:
        if response.status == 201 and mount:
            return None
        location = response.headers.get("Location")
        if response.status == 202 and location:
            return http.joined(response.url, location)
        if mount and response.status in {401, 403, 404}:
            return _begin_plain(where, digest)
        raise refusal(where, response, "an upload")


def _begin_plain(where: Repository, digest: str) -> str | None:
    """The right to push here may go without the right to read there: then the blob is sent."""
    plain = where if len(where.access.scopes) < 2 else wire.without_mounts(where)
    return _begin(plain, digest, "")


def _send(
    where: Repository,
    location: str,
    blob: Descriptor,
    opened: Callable[[], IO[bytes]],
    moved: Callable[[int], None],
) -> None:
    url = f"{location}{'&' if '?' in location else '?'}digest={quote(blob.digest)}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
    bodies: list[_Counted] = []

    def body() -> IO[bytes]:
        for earlier in bodies:
            earlier.take_back()
        bodies.append(_Counted(opened(), moved))
        return bodies[-1]  # type: ignore[return-value]  # urllib3 reads and closes it, no more

    try:
        with request(where, "PUT", url, headers, body, attempts=1) as response:
            if response.status == 201:
                return
            error = refusal(where, response, f"blob {blob.digest}")
            error.transient = response.status in _LOST_SESSION
            raise error
    except CdafError:
        for sent in bodies:
            sent.take_back()
        raise


def _warnings(response: http.Response) -> None:
    """`Warning: 299 - "text"` is for the user (OCI distribution-spec, warnings)."""
    text = response.headers.get("Warning", "")
    if text.startswith("299"):
        progress.warn(f"the registry says: {''.join(filter(str.isprintable, text[3:].strip(' -')))[:500]}")

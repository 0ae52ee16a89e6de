"""Writing to registries (OCI distribution-spec 1.1, push): blobs first, manifests by digest, tags last.

A blob that is there is not sent; one that another repository of the same registry has is mounted. Up to the size of a
chunk a blob goes whole, which saves two requests; after a break, it goes on from where the registry has it.
"""

import os
from collections.abc import Callable
from typing import IO

from cdaf import progress
from cdaf.errors import CdafError
from cdaf.images import oci
from cdaf.images.oci import Descriptor
from cdaf.net import http, transfers
from cdaf.registries import registry, session
from cdaf.registries.session import Again, Mismatch, NoChunks, Session
from cdaf.registries.wire import Repository, refusal, request

_AHEAD = 1 << 20  # bytes: an upload that gets on by so much between two failures is tried on


class _Shown:
    """How far the progress shows an upload to be; what a failed attempt sent is taken back."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved, self._at = moved, 0

    def at(self, place: int) -> None:
        self._moved(place - self._at)
        self._at = place


class _Part:
    """`length` bytes of a file, from `start` on."""

    def __init__(self, file: IO[bytes], start: int, length: int, shown: _Shown) -> None:
        self._file, self._at, self._end, self._shown = file, start, start + length, shown
        file.seek(start)

    def read(self, size: int = -1, /) -> bytes:
        transfers.check()
        left = self._end - self._at
        data = self._file.read(min(size, left) if size >= 0 else left)
        self._at += len(data)
        self._shown.at(self._at)
        return data

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

    `opened` gives the blob as a file that can be sought in. `source` is a repository of the same registry that has it.
    Raises PublishError, transient when later may be better.
    """
    if has_blob(where, blob.digest):
        return False
    begun = session.mount(where, blob.digest, source) if source else session.begin(where)
    if begun is None:
        return False
    with progress.transfer(label or blob.digest[:19], blob.size) as moved:
        _bring(where, blob, opened, begun, _Shown(moved))
    return True


def put_manifest(where: Repository, data: bytes, media_type: str, name: str = "") -> str:
    """Write a manifest under its digest, or the tag `name`, and read back what stands there now.

    Raises PublishError when the registry refuses it or then has something else.
    """
    digest = oci.digest_of(data)
    put(where, data, media_type, name or digest)
    found = registry.head(where, name or digest)
    if found != digest:
        raise where.failure(
            f"{where.label} has {found or 'nothing'} under {name or digest} of {where.name} after {digest} was put"
        )
    return digest


def put(where: Repository, data: bytes, media_type: str, name: str) -> http.Response:
    """Write a manifest, and nothing more; of the answer, the body is gone."""
    with request(where, "PUT", f"manifests/{name}", {"Content-Type": media_type}, data) as response:
        if response.status not in {200, 201, 202}:
            raise refusal(where, response, f"manifest {name}")
        _warnings(response)
        return response


def _bring(where: Repository, blob: Descriptor, opened: Callable[[], IO[bytes]], begun: Session, shown: _Shown) -> None:
    """Send a blob until it is there, or until going on is of no use."""
    current: Session | None = begun
    whole, resumed, failures, best = blob.size <= session.CHUNK, False, 0, 0

    def part(start: int, length: int) -> http.Readable:
        return _Part(_sound(opened(), blob), start, length, shown)

    while True:
        try:
            current = current or session.begin(where)
            shown.at(current.sent)
            while current.sent < blob.size and (current.sent or not whole):
                current = session.chunk(where, current, blob, part)
            return session.close(where, current, blob, part)
        except NoChunks:
            whole, current = True, None
        except Mismatch as wrong:
            if not resumed:
                raise wrong.error from None
            resumed, current = False, None
        except Again as again:
            assert current is not None
            failures = 1 if current.sent >= best + _AHEAD else failures + 1
            best = max(best, current.sent)
            if failures == http.ATTEMPTS or again.wait > http.LONGEST_WAIT:
                raise again.error from None
            transfers.wait(max(http.pause(failures), again.wait))
            current = session.found(where, current, blob.size)
            resumed = resumed or current is not None
        except CdafError:
            if current is not None:
                session.cancel(where, current)
            raise


def _sound(file: IO[bytes], blob: Descriptor) -> IO[bytes]:
    """The file, if it is as long as the blob: a registry would wait for what is missing."""
    size = file.seek(0, os.SEEK_END)
    if size == blob.size:
        return file
    file.close()
    raise CdafError(f"blob {blob.digest} has {blob.size} bytes, and {size} are here", "run the command again")


def _warnings(response: http.Response) -> None:
    """`Warning: 299 - "text"` is for the user (OCI distribution-spec, warnings)."""
    text = response.headers.get("Warning", "")
    if text.startswith("299"):
        progress.warn(f"the registry says: {''.join(filter(str.isprintable, text[3:].strip(' -')))[:500]}")

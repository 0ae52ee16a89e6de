"""What refers to an image in a registry (OCI distribution-spec 1.1, referrers): attached, and listed.

Where a registry does not know the API, an index under a tag of the subject's lists them, and who attaches writes it:
read, added to, written under the condition that it is still what was read, and read back.
"""

import functools
import io
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlencode

from cdaf.errors import PublishError
from cdaf.images import artifacts, oci
from cdaf.images.artifacts import Artifact, Referrer
from cdaf.images.oci import Descriptor
from cdaf.net import http, transfers
from cdaf.registries import registry, upload
from cdaf.registries.wire import Repository, refusal, request

_NO_API = frozenset({400, 404, 405, 501})
_CHANGED = frozenset({409, 412})
_LARGEST = 1 << 23
_PAGES = 100
_NEXT = re.compile(r"<([^>]*)>\s*;\s*rel=\"?next\"?")
_listing = threading.Lock()  # of our own threads, one changes a listing at a time


def attach(
    where: Repository,
    subject: Descriptor,
    artifact_type: str,
    data: bytes,
    media_type: str,
    annotations: Mapping[str, str] = {},
) -> Descriptor:
    """Attach an artifact to a manifest of the same repository; attaching it again changes nothing.

    Raises PublishError, transient when later may be better.
    """
    artifact = Artifact(artifact_type, media_type, data, dict(annotations))
    entry = artifacts.referrer(artifact, subject)
    for blob, held in ((artifacts.empty(), artifacts.EMPTY), (artifacts.blob(artifact), data)):
        upload.upload(where, blob, functools.partial(io.BytesIO, held), label=artifact_type)
    answer = upload.put(where, artifacts.manifest(artifact, subject), oci.MANIFEST, entry.digest)
    if not answer.headers.get("OCI-Subject"):
        _enter(where, subject.digest, entry)
    return Descriptor(entry.media_type, entry.digest, entry.size)


def listed(where: Repository, digest: str, artifact_type: str = "") -> tuple[Referrer, ...]:
    """What refers to a manifest, or of that what is of one type."""
    found = _by_api(where, digest, artifact_type)
    if found is None:
        found = ()
        if held := _by_tag(where, artifacts.tag(digest)):
            with suppress(PublishError):  # what is no index lists nothing, says the specification
                found = artifacts.listing(held[0], _name(where, digest))
    return tuple(each for each in found if artifact_type in ("", each.artifact_type))


def _by_api(where: Repository, digest: str, artifact_type: str) -> tuple[Referrer, ...] | None:
    """All pages of the API's answer; None from a registry that does not know it."""
    url = f"referrers/{digest}" + (f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else "")
    found: list[Referrer] = []
    for _ in range(_PAGES):
        with request(where, "GET", url, {"Accept": oci.INDEX}) as response:
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
            # Some answer what they don't know with a page for people.
            if not found and (response.status in _NO_API or (response.status == 200 and kind != oci.INDEX)):
                return None
            if response.status != 200:
                raise refusal(where, response, f"list of what refers to {digest}")
            found += artifacts.listing(http.read(response, _LARGEST), f"{where.label}'s list of referrers")
            following = _NEXT.search(response.headers.get("Link", ""))
        if not following:
            return tuple(found)
        url = http.joined(response.url, following[1])
    raise where.failure(f"{where.label} lists what refers to {digest} without end")


def _by_tag(where: Repository, name: str) -> tuple[bytes, str] | None:
    """The index under a tag, and its entity tag (RFC 9110, 8.8.3)."""
    with request(where, "GET", f"manifests/{name}", {"Accept": ", ".join(oci.MANIFESTS)}) as response:
        if response.status == 404:
            return None
        if response.status != 200:
            raise refusal(where, response, f"manifest {name}")
        return http.read(response, _LARGEST), response.headers.get("ETag", "")


def _enter(where: Repository, digest: str, entry: Referrer) -> None:
    """Add to the index under the subject's tag until it is there: another may write it at the same moment."""
    name = artifacts.tag(digest)
    with _listing:
        for attempt in range(1, http.ATTEMPTS + 1):
            held = _by_tag(where, name)
            data = artifacts.added(held[0] if held else None, (entry,), _name(where, digest))
            if held and data == held[0]:
                return
            if _written(where, name, data, held) and registry.head(where, name) == oci.digest_of(data):
                return
            transfers.wait(http.pause(attempt))
    raise where.failure(
        f"{where.label}/{where.name}: tag {name} is being changed by others all the time", "try again", transient=True
    )


def _written(where: Repository, name: str, data: bytes, held: tuple[bytes, str] | None) -> bool:
    """Whether the index was put; False when it is another by now, for registries that heed the condition."""
    condition = {"If-Match": held[1]} if held and held[1] else {} if held else {"If-None-Match": "*"}
    full = {"Content-Type": oci.INDEX, **condition}
    with request(where, "PUT", f"manifests/{name}", full, data) as response:
        if response.status in _CHANGED:
            return False
        if response.status not in {200, 201, 202}:
            raise refusal(where, response, f"manifest {name}")
        return True


def _name(where: Repository, digest: str) -> str:
    return f"{where.label}/{where.name}:{artifacts.tag(digest)}"

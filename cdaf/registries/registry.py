"""Reading registries (OCI distribution-spec 1.1): manifests, platforms and blobs, each checked against its digest.

Whatever is named by digest is kept in the store, kind `blobs`, and asked for once; nothing enters it unverified.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from cdaf import progress, store
from cdaf.errors import CdafError, ResolveError, faults
from cdaf.images import oci
from cdaf.images import parse as oci_parse
from cdaf.images.oci import Descriptor, Image
from cdaf.net import http, transfers
from cdaf.registries import wire
from cdaf.registries.reference import Reference, at, parse, tagged
from cdaf.registries.wire import Repository, refusal, request

KIND = "blobs"
WORKERS = 4
_LARGEST_MANIFEST = 1 << 23
_SMALL = 1 << 20
_Found = TypeVar("_Found")


def manifest(reference: Reference, accept: Sequence[str] = oci.MANIFESTS) -> tuple[bytes, Descriptor]:
    """A manifest or index, and its descriptor. Raises ResolveError naming who was asked."""
    wanted = tagged(reference)
    kept = _kept(wanted)
    if kept is not None:
        return kept, _described(wanted, kept, "")
    data, header = _first(wanted, "manifest", functools.partial(_manifest, wanted, tuple(accept)))
    described = _described(wanted, data, header)
    store.put(KIND, [data])
    return data, described


def manifest_by_digest(reference: Reference) -> bytes:
    """The bytes of a manifest named by digest, from the store if they are there."""
    return manifest(reference)[0]


def resolve(reference: Reference, platform: str) -> Descriptor:
    """The manifest of one platform. Raises ResolveError, listing the platforms there are when it is not among them."""
    data, found = manifest(reference)
    if oci.canonical(found.media_type) == oci.INDEX:
        entries = oci_parse.index(data, str(reference))
    else:
        entries = (msgspec.structs.replace(found, platform=_own_platform(reference, data)),)
    chosen = oci_parse.choose(entries, platform)
    if chosen is None:
        there = ", ".join(sorted(entry.platform or "" for entry in entries)) or "none"
        raise ResolveError(
            f"{reference} has no image for {platform}, only for {there}", "choose another base or platform"
        )
    return msgspec.structs.replace(chosen, platform=platform)


def blob(reference: Reference, descriptor: Descriptor) -> Path:
    """A blob's path in the store, fetched if it is not there, resumed where the connection broke off, and verified.

    Of what is there, small ones are read again here, such as configs, which are believed at once; layers are when used.
    """
    found = store.path(KIND, oci.hexed(descriptor.digest))
    if descriptor.size <= _SMALL:
        store.checked(KIND, oci.hexed(descriptor.digest))
    if found.is_file() and found.stat().st_size == descriptor.size:
        return found
    label = f"{reference.repository.rpartition('/')[2]} {oci.hexed(descriptor.digest)[:12]}"
    with progress.transfer(label, descriptor.size) as moved:
        return _first(reference, "blob", lambda where: _blob(where, descriptor, moved))


def blobs(reference: Reference, descriptors: Sequence[Descriptor]) -> tuple[Path, ...]:
    """Several blobs, some at a time."""
    with transfers.workers(WORKERS) as pool:
        return tuple(pool.map(functools.partial(blob, reference), descriptors))


def complete(image: Image) -> Image:
    """The same image with every layer of its base in the store."""
    missing = [layer for layer in image.layers if layer.path is None]
    if not missing or image.base is None:
        return image
    source = at(parse(image.base.reference), image.base.digest)
    fetched = blobs(source, [Descriptor(layer.media_type, layer.digest, layer.size) for layer in missing])
    paths = dict(zip((layer.digest for layer in missing), fetched, strict=True))
    layers = tuple(
        layer if layer.path else msgspec.structs.replace(layer, path=paths[layer.digest]) for layer in image.layers
    )
    return msgspec.structs.replace(image, layers=layers)


def _own_platform(reference: Reference, data: bytes) -> str:
    """The platform of an image without an index, which only its config knows."""
    config, _ = oci_parse.manifest(data, str(reference))
    return oci_parse.platform(blob(reference, config).read_bytes(), f"the config of {reference}")


def _kept(reference: Reference) -> bytes | None:
    if not reference.digest:
        return None
    return store.read(KIND, oci.hexed(reference.digest))


def _described(reference: Reference, data: bytes, header: str) -> Descriptor:
    return Descriptor(oci_parse.media_type(data, header, str(reference)), oci.digest_of(data), len(data))


def _manifest(reference: Reference, accept: tuple[str, ...], where: Repository) -> tuple[bytes, str]:
    name = reference.digest or reference.tag
    with request(where, "GET", f"manifests/{name}", {"Accept": ", ".join(accept)}) as response:
        if response.status != 200:
            raise refusal(where, response, f"manifest {name}")
        data = http.read(response, _LARGEST_MANIFEST)
    promised = reference.digest or response.headers.get("Docker-Content-Digest", "")
    if promised.startswith("sha256:") and oci.digest_of(data) != promised:
        raise where.failure(f"{where.label} sent other bytes than {promised} for manifest {name} of {where.name}")
    return data, response.headers.get("Content-Type", "")


def _blob(where: Repository, descriptor: Descriptor, moved: Callable[[int], None]) -> Path:
    with store.writing(KIND) as (file, temporary):
        for attempt in range(1, http.ATTEMPTS + 1):
            try:
                _append(where, descriptor, file, moved)
                break
            except CdafError as error:
                if not error.transient or attempt == http.ATTEMPTS:
                    raise
                transfers.wait(http.pause(attempt))
        file.flush()
        with temporary.open("rb") as written:
            found = hashlib.file_digest(written, "sha256").hexdigest()
        if found != oci.hexed(descriptor.digest):
            raise where.failure(f"{where.label} sent other bytes than {descriptor.digest} of {where.name}")
        return store.keep(temporary, KIND, oci.hexed(descriptor.digest))


def _append(where: Repository, descriptor: Descriptor, file: IO[bytes], moved: Callable[[int], None]) -> None:
    """Read on from where the file ends (RFC 9110, 14.2); a server that knows no ranges sends all of it again."""
    have = file.tell()
    if have == descriptor.size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with request(where, "GET", f"blobs/{descriptor.digest}", headers) as response:
        if response.status not in {200, 206}:
            raise refusal(where, response, f"blob {descriptor.digest}")
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            file.seek(0)
            file.truncate()
            moved(-have)
        for chunk in http.stream(response):
            file.write(chunk)
            moved(len(chunk))
            if file.tell() > descriptor.size:
                raise where.failure(f"{where.label} sent more than the {descriptor.size} bytes of {descriptor.digest}")


def _first(reference: Reference, what: str, ask: Callable[[Repository], _Found]) -> _Found:
    """The first answer of those that may have it; otherwise one error that says what each of them answered."""
    failed: list[CdafError] = []
    for where in wire.sources(reference):
        try:
            return ask(where)
        except CdafError as error:
            failed.append(error)
    raise ResolveError(
        faults(f"{what} of {reference} cannot be had", [error.message for error in failed]),
        next((error.hint for error in failed if error.hint), ""),
        "\n".join(error.output for error in failed if error.output),
        transient=all(error.transient for error in failed),
    )


def head(where: Repository, name: str) -> str | None:
    """The digest that a tag names at one place, or None when there is no such tag."""
    headers = {"Accept": ", ".join(oci.MANIFESTS)}
    with request(where, "HEAD", f"manifests/{name}", headers) as response:
        if response.status == 404:
            return None
        if response.status != 200:
            raise refusal(where, response, f"manifest {name}")
        digest = response.headers.get("Docker-Content-Digest", "")
    return digest or _digest_by_reading(where, name)


def _digest_by_reading(where: Repository, name: str) -> str:
    """What a registry that sends no `Docker-Content-Digest` has under a name."""
    accept: Any = {"Accept": ", ".join(oci.MANIFESTS)}
    with request(where, "GET", f"manifests/{name}", accept) as response:
        if response.status != 200:
            raise refusal(where, response, f"manifest {name}")
        return oci.digest_of(http.read(response, _LARGEST_MANIFEST))

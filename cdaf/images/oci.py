"""OCI image values and their bytes: descriptors, manifests, indexes, and the tar that every engine loads.

Rules are those of the OCI image-spec 1.1 (manifest.md, image-index.md, image-layout.md, annotations.md).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf.errors import ImageError
from cdaf.images.plan import BasePin

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"
LAYERS = {"gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}  # by the plan's `compression`
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
MANIFESTS = (INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"

_CANONICAL = {
    DOCKER_INDEX: INDEX,
    DOCKER_MANIFEST: MANIFEST,
    DOCKER_CONFIG: CONFIG,
    DOCKER_LAYER: LAYER,
    DOCKER_LAYER_GZIP: LAYER_GZIP,
}
LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20


class Descriptor(msgspec.Struct, frozen=True):
    """What a digest points to; `platform` as "linux/arm64/v8", where the index says it."""

    media_type: str
    digest: str
    size: int
    platform: str | None = None
    annotations: dict[str, str] = {}


class Layer(msgspec.Struct, frozen=True):
    """A layer: `digest` of the blob, `diff_id` of its tar; `path` is None for one of the base, not yet fetched."""

    digest: str
    diff_id: str
    size: int
    media_type: str
    name: str
    path: Path | None = None


class Image(msgspec.Struct, frozen=True):
    """The image of one platform; `digest` is the manifest's, `config_digest` the id that engines know it by."""

    platform: str
    digest: str
    manifest: bytes
    config: bytes
    config_digest: str
    layers: tuple[Layer, ...]
    base: BasePin | None = None


def digest_of(data: bytes) -> str:
    """The digest of bytes, as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hexed(digest: str) -> str:
    """The hex part of a digest."""
    return digest.partition(":")[2]


def canonical(media_type: str) -> str:
    """The OCI name of a media type that the engine calls by its own; the bytes behind are the same."""
    return _CANONICAL.get(media_type, media_type)


def platform_object(platform: str) -> dict[str, str]:
    """The index's platform object of "os/architecture[/variant]"."""
    names = ("os", "architecture", "variant")
    parts = dict(zip(names, platform.split("/"), strict=False))
    return {key: parts[key] for key in ("architecture", "os", "variant") if key in parts}


def platform_text(found: Mapping[str, Any]) -> str:
    """The same as text; nothing in it may be missing but the variant. Raises TypeError where it is not of text."""
    parts = (found.get("os") or "unknown", found.get("architecture") or "unknown", found.get("variant"))
    return "/".join(part for part in parts if part)


def is_for(told: str, platform: str) -> bool:
    """Whether an image that says it is for `told` runs as `platform`, which may leave the variant open."""
    return f"{told}/".startswith(f"{platform}/")


def config_descriptor(config: bytes) -> Descriptor:
    """The descriptor of an image config."""
    return Descriptor(CONFIG, digest_of(config), len(config))


def manifest_bytes(config: Descriptor, layers: Sequence[Layer]) -> bytes:
    """An image manifest, base layers first; one order of keys, no blanks."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _object(config),
            "layers": [_object(Descriptor(canonical(each.media_type), each.digest, each.size)) for each in layers],
        }
    )


def index_bytes(images: Sequence[Image]) -> tuple[bytes, str]:
    """An image index over platforms, in the order given, and its digest."""
    entries = [_object(described(image)) for image in images]
    data = msgspec.json.encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return data, digest_of(data)


def published(images: Sequence[Image]) -> tuple[bytes, str, str]:
    """What a release publishes: bytes, media type, digest. One platform is its manifest itself, several an index."""
    if len(images) == 1:
        return images[0].manifest, MANIFEST, images[0].digest
    data, digest = index_bytes(images)
    return data, INDEX, digest


def archive(image: Image, tags: Sequence[str] = (), omit: frozenset[str] = frozenset()) -> Iterator[bytes]:
    """One tar that is an OCI layout and a Docker archive at once, in pieces; the same bytes every time.

    `tags` are full references. `omit` names layers, by diff id, that the receiver is known to have. Raises ImageError
    when a base layer is not in the cache.
    """
    import tarfile

    def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.mode = size, kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8")

    def small(name: str, data: bytes) -> bytes:
        return header(name, len(data)) + data + bytes(-len(data) % 512)

    entries = [named(described(image), tag.rpartition(":")[2], tag) for tag in tags] or [_object(described(image))]
    docker = {
        "Config": blob_name(image.config_digest),
        "RepoTags": [_familiar(tag) for tag in tags],
        "Layers": [blob_name(layer.digest) for layer in image.layers],
    }
    yield header("blobs", 0, tarfile.DIRTYPE) + header("blobs/sha256", 0, tarfile.DIRTYPE)
    yield small("index.json", msgspec.json.encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    yield small("manifest.json", msgspec.json.encode([docker]))
    yield small("oci-layout", LAYOUT_FILE)
    yield small(blob_name(image.digest), image.manifest)
    yield small(blob_name(image.config_digest), image.config)
    for layer in _distinct(image.layers):
        if layer.diff_id not in omit:
            yield header(blob_name(layer.digest), layer.size)
            yield from chunks(layer)
            yield bytes(-layer.size % 512)
    yield bytes(1024)


def blobs(images: Sequence[Image]) -> tuple[Layer, ...]:
    """The layers of several images, each blob once."""
    return _distinct([layer for image in images for layer in image.layers])


def described(image: Image) -> Descriptor:
    """An image's entry in an index."""
    return Descriptor(MANIFEST, image.digest, len(image.manifest), image.platform)


def entry(descriptor: Descriptor) -> dict[str, Any]:
    """An entry of an index without a name."""
    return _object(descriptor)


def named(descriptor: Descriptor, name: str, full: str = "") -> dict[str, Any]:
    """An entry of a layout's `index.json` under a name; `full` is the whole reference, by which containerd goes."""
    notes = {key: value for key, value in ((REF_NAME, name), (CONTAINERD_NAME, full)) if value}
    return _object(msgspec.structs.replace(descriptor, annotations=notes))


def blob_name(digest: str) -> str:
    """Where a blob lies in a layout."""
    return "blobs/" + digest.replace(":", "/", 1)


def path_of(layer: Layer) -> Path:
    """A layer's blob in the cache. Raises ImageError when it is not there."""
    if layer.path is None:
        raise ImageError(
            f"layer {layer.digest} of the base is not in the cache", "fetch the base first: its registry must answer"
        )
    return layer.path


def chunks(layer: Layer) -> Iterator[bytes]:
    """A layer's blob, piece by piece, as it leaves the cache.

    Its last piece is not given before all were hashed. Raises a transient ImageError when the cache has other bytes
    than the digest says; they are removed, so that the next run makes the layer anew.
    """
    digest, last = hashlib.sha256(), b""
    with path_of(layer).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if last:
                yield last
            last = chunk
    if f"sha256:{digest.hexdigest()}" != layer.digest:
        raise spoilt(layer)
    yield last


def spoilt(layer: Layer) -> ImageError:
    """The error to raise for a layer whose blob in the cache is damaged, and which is removed from there."""
    path_of(layer).unlink(missing_ok=True)
    return ImageError(
        f"the cache's copy of layer {layer.digest} was damaged, and is removed", "run the command again", transient=True
    )


def _object(descriptor: Descriptor) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.platform:
        found["platform"] = platform_object(descriptor.platform)
    if descriptor.annotations:
        found["annotations"] = dict(sorted(descriptor.annotations.items()))
    return found


def _familiar(tag: str) -> str:
    return tag.removeprefix("docker.io/").removeprefix("library/")


def _distinct(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    return tuple({layer.digest: layer for layer in layers}.values())

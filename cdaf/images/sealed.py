"""Images that a bundle holds whole, as an OCI layout below `images/` (OCI image-spec 1.1, image-layout.md).

They are what a build of the service's own made: nothing is foretold of them, and nothing is made anew at a release.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cdaf import store, typed
from cdaf.errors import BundleError, ImageError, ResolveError, faults
from cdaf.images import content, oci, parse
from cdaf.images.content import Content, Contents
from cdaf.images.oci import Descriptor, Image, Layer
from cdaf.images.plan import BasePin

FOLDER = "images"
INDEX = f"{FOLDER}/index.json"
BLOBS = f"{FOLDER}/blobs/sha256/"
_KIND = "blobs"
_HINT = "package the service again"


class Sealed(msgspec.Struct, frozen=True):
    """An image to be sealed; `own` counts its layers above its base's, `network` says whether its build might use one.

    `tools` are the other images that it was built with, by the digest of their index.
    """

    image: Image
    own: int
    network: bool
    tools: tuple[BasePin, ...] = ()


class Runtime(msgspec.Struct, frozen=True):
    """How an image says that it is run (OCI image-spec, config.md); `checked` when it has a health check."""

    start: tuple[str, ...]
    environment: dict[str, str]
    user: str
    volumes: tuple[str, ...]
    checked: bool


class _Probe(msgspec.Struct, frozen=True):
    Test: tuple[str, ...] | None = None


class _Run(msgspec.Struct, frozen=True):
    """What is read of a config, of the types that the OCI image-spec gives it."""

    Entrypoint: tuple[str, ...] | None = None
    Cmd: tuple[str, ...] | None = None
    Env: tuple[str, ...] | None = None
    User: str | None = None
    Volumes: dict[str, Any] | None = None
    Healthcheck: _Probe | None = None


class _Entry(msgspec.Struct, frozen=True):
    digest: str
    platform: dict[str, str] = {}


class _Index(msgspec.Struct, frozen=True):
    """What is read of an index (OCI image-spec, image-index.md)."""

    manifests: tuple[_Entry, ...] = ()


class _Config(msgspec.Struct, frozen=True):
    config: _Run | None = None
    history: tuple[dict[str, Any], ...] | None = None


def runtime(config: bytes) -> Runtime:
    """What an image's config says of that. Raises ImageError for one that no engine would read."""
    try:
        told = typed.decode(config, _Config).config or _Run()
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ImageError(f"the image's config cannot be read: {error}", _HINT) from error
    probe = (told.Healthcheck.Test if told.Healthcheck else None) or ()
    return Runtime(
        start=(*(told.Entrypoint or ()), *(told.Cmd or ())),
        environment=dict(each.partition("=")[::2] for each in told.Env or ()),
        user=told.User or "root",
        volumes=tuple(sorted(told.Volumes or ())),
        checked=bool(probe) and probe != ("NONE",),
    )


def members(images: Sequence[Image]) -> dict[str, Content]:
    """The layout of these images, by bundle member name; each blob once. It names what a release will publish."""
    data, media_type, digest = oci.published(images)
    root = Descriptor(media_type, digest, len(data), images[0].platform if len(images) == 1 else None)
    index = msgspec.json.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [oci.entry(root)]})
    found = {
        f"{FOLDER}/oci-layout": content.of_bytes(oci.LAYOUT_FILE),
        INDEX: content.of_bytes(index),
        member(digest): content.of_bytes(data),
    }
    for each in images:
        found |= {member(each.digest): content.of_bytes(each.manifest)}
        found |= {member(each.config_digest): content.of_bytes(each.config)}
        for layer in each.layers:
            found[member(layer.digest)] = content.of_file(oci.path_of(layer), oci.hexed(layer.digest))
    return found


def member(digest: str) -> str:
    """The bundle member that holds a blob."""
    return f"{FOLDER}/{oci.blob_name(digest)}"


def read(
    held: Contents, platform: str, digest: str, names: Mapping[str, str], written: Callable[[Layer], None]
) -> Image:
    """The image of a platform out of a bundle; its layers' blobs are in the cache afterwards.

    `names` are its own layers' by digest; `written` is told of each layer that was not in the cache. Raises
    BundleError when the bundle does not hold all of that image, with all that is wrong.
    """
    manifest = _small(held, digest, f"the image of {platform}")
    try:
        config, listed = parse.manifest(manifest, f"the image of {platform}")
        data = _small(held, config.digest, f"the config of {platform}")
        diff_ids = parse.diff_ids(data, f"the config of {platform}")
        wrong = _faults(platform, data, listed, {name: each.size for name, each in held.items()})
    except (ResolveError, ImageError) as error:
        raise BundleError(error.message, _HINT) from error
    if wrong:
        raise BundleError(faults(f"the image of {platform} is not whole", wrong), _HINT)
    layers = tuple(
        _layer(held[member(each.digest)], each, diff_id, names.get(each.digest, "base"), written)
        for each, diff_id in zip(listed, diff_ids, strict=True)
    )
    return Image(platform, digest, manifest, data, config.digest, layers)


def _faults(platform: str, config: bytes, listed: Sequence[Descriptor], sizes: Mapping[str, int]) -> list[str]:
    """In what a config and the layers that a manifest lists do not fit; sizes are the members'.

    Raises ResolveError, ImageError for a config that cannot be read.
    """
    count, told = len(parse.diff_ids(config, f"the config of {platform}")), f"the config of {platform}"
    made = parse.platform(config, told)
    runtime(config)
    wrong = [f"no layer {each.digest}" for each in listed if member(each.digest) not in sizes]
    wrong += [
        f"layer {each.digest} is {sizes[member(each.digest)]} bytes long, and its manifest says {each.size}"
        for each in listed
        if sizes.get(member(each.digest), each.size) != each.size
    ]
    wrong += [
        f"layer {each.digest} is {each.media_type}, which is none"
        for each in listed
        if oci.canonical(each.media_type) not in (oci.LAYER, *oci.LAYERS.values())
    ]
    if count != len(listed):
        wrong.append(f"it has {len(listed)} layers, and its config {count}")
    return wrong if oci.is_for(made, platform) else [*wrong, f"its config is for {made}"]


def config(held: Contents, platform: str, digest: str) -> bytes:
    """The config of such an image. Raises BundleError when the bundle does not hold it."""
    what = f"the image of {platform}"
    try:
        return _small(held, parse.manifest(_small(held, digest, what), what)[0].digest, f"the config of {platform}")
    except ResolveError as error:
        raise BundleError(error.message, _HINT) from error


def faults_of(read: Callable[[str], bytes | None], digests: Mapping[str, str], sizes: Mapping[str, int]) -> list[str]:
    """How a bundle's layout differs from the images that its manifest names, by platform and digest, or from itself.

    `read` gives a member's bytes, None for what is missing or damaged; of that only what nothing else names is told.
    `sizes` are all members'.
    """
    wrong = []
    for platform, digest in digests.items():
        told, data = f"the image of {platform}", read(member(digest))
        try:
            config, listed = parse.manifest(data, told) if data is not None else (None, ())
            data = read(member(config.digest)) if config else None
            if config and data is None:
                wrong.append(f"{told}: {member(config.digest)} is missing")
            elif data is not None:
                wrong += [f"{told}: {fault}" for fault in _faults(platform, data, listed, sizes)]
        except (ResolveError, ImageError) as error:
            wrong.append(error.message)
    try:
        return [*_unlike(read, digests), *wrong]
    except (msgspec.MsgspecError, RecursionError) as error:
        return [f"{INDEX}: {error}", *wrong]


def _unlike(read: Callable[[str], bytes | None], digests: Mapping[str, str]) -> list[str]:
    """What the layout's index names otherwise; of several images it names an index of their own."""
    data = read(INDEX)
    if data is None:
        return []
    entries = typed.decode(data, _Index).manifests
    if len(digests) > 1 and len(entries) == 1:
        data = read(member(entries[0].digest))
        if data is None:
            return [f"{INDEX}: names {entries[0].digest}, which is missing"]
        entries = typed.decode(data, _Index).manifests
    found = sorted((oci.platform_text(each.platform), each.digest) for each in entries)
    if found == sorted(digests.items()):
        return []
    shown = ", ".join(f"{digest} for {platform}" for platform, digest in found)
    return [f"{INDEX}: names {shown or 'no image'}, and the manifest {', '.join(digests.values())}"]


def _small(held: Contents, digest: str, what: str) -> bytes:
    found = held.get(member(digest))
    if found is None:
        raise BundleError(f"{what}: {digest} is missing", _HINT)
    if f"sha256:{found.sha256}" != digest:
        raise BundleError(f"{what}: {digest} holds other bytes than its name says", _HINT)
    return b"".join(content.chunks(found))


def _layer(found: Content, told: Descriptor, diff_id: str, name: str, written: Callable[[Layer], None]) -> Layer:
    """A layer in the cache: a bundle's bytes lie in the middle of a file, and all who send or load one want its own."""
    if f"sha256:{found.sha256}" != told.digest:
        raise BundleError(f"layer {told.digest} holds other bytes than its name says", _HINT)
    layer = Layer(told.digest, diff_id, told.size, told.media_type, name, store.path(_KIND, found.sha256))
    if not store.intact(_KIND, found.sha256, told.size):
        sha256, _ = store.put(_KIND, content.chunks(found))
        if sha256 != found.sha256:
            raise BundleError(f"layer {told.digest} changed while it was read", "start again when nothing writes to it")
        written(layer)
    return layer

"""Images that others made, as they can be compared: in an OCI layout on disk, or in a registry; layers on demand."""

import functools
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf.errors import ImageError, UsageError
from cdaf.images import compare, listing, oci, parse
from cdaf.images.compare import Blob, View
from cdaf.images.listing import Row
from cdaf.images.oci import Descriptor
from cdaf.registries import reference, registry
from cdaf.registries.reference import Reference

Get = Callable[[Descriptor], Path]
_FALLBACK = "sha256-"  # tags under which layouts and old registries list what refers to an image
_BASE = "org.opencontainers.image.base."


def in_registry(named: Reference) -> tuple[View, ...]:
    """The image of every platform under a tag or digest. Raises ResolveError when it cannot be had."""
    data, found = registry.manifest(named)
    get = functools.partial(_fetched, named)
    if oci.canonical(found.media_type) != oci.INDEX:
        return (_view(found, data, get, str(named)),)
    entries = parse.index(data, str(named))
    return tuple(_view(each, get(each).read_bytes(), get, f"{named} for {each.platform}") for each in entries)


def _fetched(named: Reference, wanted: Descriptor) -> Path:
    if oci.canonical(wanted.media_type) in (oci.MANIFEST, oci.INDEX):
        registry.manifest_by_digest(reference.at(named, wanted.digest))
    return registry.blob(named, wanted)


def in_layout(folder: Path, name: str = "") -> tuple[View, ...]:
    """The image of every platform in a layout, under a tag or digest or, where it holds only one, without.

    Raises UsageError when it is not clear which is meant, ImageError when something is missing or damaged.
    """
    get = functools.partial(_held, folder)
    try:
        found = msgspec.json.decode((folder / "index.json").read_bytes())["manifests"]
        listed = [each for each in found if not _tag(each).startswith(_FALLBACK)]
        digests = {str(each["digest"]): each for each in listed if name in ("", _tag(each), each["digest"])}
        roots = [Descriptor(str(each["mediaType"]), key, int(each["size"])) for key, each in digests.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{folder} is not an OCI layout", "name a layout, a bundle or an image") from error
    if len(roots) != 1:
        wrong = "several images" if roots else f"no image {name}"
        there = ", ".join(f"{folder}:{tag}" for each in listed if (tag := _tag(each)))
        raise UsageError(f"{folder} holds {wrong}", f"name one: {there}" if there else "name one by its digest")
    [root] = roots
    if not parse.is_digest(root.digest):
        raise UsageError(f"{folder} is not an OCI layout: {root.digest!r} is no digest", "name a layout")
    data = get(root).read_bytes()
    if oci.canonical(root.media_type) != oci.INDEX:
        return (_view(root, data, get, str(folder)),)
    entries = parse.index(data, str(folder))
    return tuple(_view(each, get(each).read_bytes(), get, f"{folder} for {each.platform}") for each in entries)


def _tag(entry: dict[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(oci.REF_NAME, ""))


def _held(folder: Path, wanted: Descriptor) -> Path:
    path = folder / oci.blob_name(wanted.digest)
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == oci.hexed(wanted.digest):
                return path
    except OSError as error:
        raise ImageError(f"{folder} has no blob {wanted.digest}", "copy the whole layout again") from error
    raise ImageError(f"{path} is damaged", "copy the layout again")


def view(image: oci.Image) -> View:
    """An image that was assembled here; layers of its base are fetched when they have to be read."""

    def get(wanted: Descriptor) -> Path:
        own = next((each.path for each in image.layers if each.digest == wanted.digest), None)
        if own is None and image.base is not None:
            return registry.blob(reference.at(reference.parse(image.base.reference), image.base.digest), wanted)
        return own or store_path(wanted)

    found = Descriptor(oci.MANIFEST, image.digest, len(image.manifest), image.platform)
    return _built(found, image.config, [_described(each) for each in image.layers], get, image.digest)


def store_path(wanted: Descriptor) -> Path:
    """Where the cache keeps a blob. Raises ImageError when it does not."""
    from cdaf import store

    path = store.checked(registry.KIND, oci.hexed(wanted.digest))
    if path is None:
        raise ImageError(f"layer {wanted.digest} is not in the cache", "run the command again", transient=True)
    return path


def _described(layer: oci.Layer) -> Descriptor:
    return Descriptor(layer.media_type, layer.digest, layer.size)


def _view(found: Descriptor, data: bytes, get: Get, what: str) -> View:
    config, layers = parse.manifest(data, what)
    try:
        return _built(found, get(config).read_bytes(), layers, get, what)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageError(f"{what} has a config that cannot be read: {error}", "name another image") from error


def _built(found: Descriptor, config: bytes, layers: Sequence[Descriptor], get: Get, what: str) -> View:
    told = parse.config(config, f"the config of {what}")
    diff_ids = parse.diff_ids(config, f"the config of {what}")
    if len(diff_ids) != len(layers):
        raise ImageError(f"{what} has {len(layers)} layers, and its config {len(diff_ids)}", "name another image")
    names = compare.names(told, len(layers))
    blobs = [
        Blob(name, each.digest, diff_id, each.size, functools.cache(functools.partial(_rows, get, each)), own)
        for each, diff_id, (name, own) in zip(layers, diff_ids, names, strict=True)
    ]
    labels = (told.get("config") or {}).get("Labels") or {}
    base = "@".join(filter(None, (str(labels.get(_BASE + key) or "") for key in ("name", "digest"))))
    platform = found.platform or parse.platform(config, f"the config of {what}")
    return View(platform, found.digest, base, compare.config(told), tuple(blobs))


def _rows(get: Get, layer: Descriptor) -> tuple[Row, ...]:
    path = get(layer)
    try:
        return listing.plain(listing.read(path))
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise ImageError(f"layer {layer.digest} cannot be read: {error}", "name another image") from error

"""Reading manifests, indexes and configs that others wrote: what is not as the OCI image-spec says is an error."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cdaf.errors import ResolveError
from cdaf.images import oci
from cdaf.images.oci import Descriptor

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PREFERRED = {"arm64": ("", "v8"), "arm": ("v7", "v6", "v5", ""), "amd64": ("", "v1")}
_SAME = {"arm64": {"": "v8"}, "amd64": {"": "v1"}}


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256 digest as descriptors have it, and so no path to anywhere."""
    return bool(_DIGEST.fullmatch(text))


def manifest(data: bytes, name: str) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    """The config and layers of an image manifest; `name` is for messages. Raises ResolveError."""
    found = _table(data, name)
    if "mediaType" in found and oci.canonical(str(found["mediaType"])) != oci.MANIFEST:
        raise ResolveError(f"{name} is not an image manifest: it says that it is {found['mediaType']}", "name an image")
    try:
        config = _descriptor(found["config"])
        layers = tuple(_descriptor(layer) for layer in found["layers"])
    except (KeyError, TypeError, ValueError) as error:
        raise ResolveError(f"{name} is not an image manifest", "name an image") from error
    if oci.canonical(config.media_type) != oci.CONFIG:
        raise ResolveError(f"{name} is not an image: its config is {config.media_type}", "name an image")
    return config, layers


def index(data: bytes, name: str) -> tuple[Descriptor, ...]:
    """The entries of an image index that are images: attestations (platform unknown) are left out."""
    try:
        entries = [_descriptor(entry) for entry in _table(data, name)["manifests"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ResolveError(f"{name} is not an image index", "name an image") from error
    return tuple(entry for entry in entries if entry.platform and not entry.platform.startswith("unknown"))


def config(data: bytes, name: str) -> Mapping[str, Any]:
    """An image config. Raises ResolveError when it is not one."""
    return _table(data, name)


def platform(data: bytes, name: str) -> str:
    """The platform that an image's config says it is for. Raises ResolveError when it says none."""
    try:
        return oci.platform_text(_table(data, name))
    except TypeError as error:
        raise ResolveError(f"{name} names no platform", "name an image") from error


def diff_ids(data: bytes, name: str) -> tuple[str, ...]:
    """The uncompressed digests of the layers, as the config has them."""
    found = _table(data, name).get("rootfs")
    ids = found.get("diff_ids") if isinstance(found, dict) else None
    if not isinstance(ids, list):
        raise ResolveError(f"{name} has no rootfs.diff_ids", "name an image")
    if strange := [each for each in ids if not is_digest(str(each))]:
        raise ResolveError(f"{name} has {str(strange[0])[:80]!r} for a diff id", "name an image")
    return tuple(ids)


def choose(entries: Sequence[Descriptor], platform: str) -> Descriptor | None:
    """The entry for a platform: without a variant the usual one of the architecture, with one that one alone."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    found = {_variant(each): each for each in reversed(entries) if _machine(each) == f"{system}/{architecture}"}
    if variant:
        same = {_SAME.get(architecture, {}).get(each, each): entry for each, entry in found.items()}
        return same.get(variant)
    preferred = [each for each in _PREFERRED.get(architecture, ("",)) if each in found]
    return found[preferred[0]] if preferred else next(iter(found.values()), None)


def media_type(data: bytes, header: str, name: str) -> str:
    """The media type of a manifest: its own word, else the header's. Raises ResolveError for one of no use."""
    own, told = _table(data, name).get("mediaType"), header.partition(";")[0].strip()
    if own != told and own in oci.MANIFESTS and told in oci.MANIFESTS:
        raise ResolveError(f"{name} says that it is {own}, and its registry that it is {told}", "name an image")
    found = str(own or told)
    if found in oci.MANIFESTS:
        return found
    if own is None and "manifests" in _table(data, name):
        return oci.INDEX
    if own is None and "config" in _table(data, name):
        return oci.MANIFEST
    raise ResolveError(f"{name} is of a kind that is not known here: {found or 'no media type'}", "name an image")


def _variant(entry: Descriptor) -> str:
    return "/".join((entry.platform or "").split("/")[2:])


def _machine(entry: Descriptor) -> str:
    return "/".join((entry.platform or "").split("/")[:2])


def _table(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ResolveError(f"{name} is not JSON", "name an image") from error
    if not isinstance(found, dict):
        raise ResolveError(f"{name} is not a JSON object", "name an image")
    return found


def _descriptor(found: Mapping[str, Any]) -> Descriptor:
    digest = str(found["digest"])
    if not is_digest(digest):
        raise ValueError(digest)
    size, own = found["size"], found.get("platform")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(size)
    if not isinstance(own, dict | None):
        raise ValueError(own)
    return Descriptor(str(found["mediaType"]), digest, size, oci.platform_text(own) if own else None)

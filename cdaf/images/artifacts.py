"""Artifacts that refer to an image: a bill of materials, the link to its bundle (OCI image-spec 1.1, manifest.md).

An artifact is a manifest with a type, one blob and a `subject`; its bytes follow from those, so that it has one digest
however often it is attached. Where no referrers API is, an index under a tag of the subject's lists them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cdaf import typed
from cdaf.errors import PublishError
from cdaf.images import oci
from cdaf.images.oci import Descriptor

EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_NO_TAG = re.compile(r"[^A-Za-z0-9._-]")


class Artifact(msgspec.Struct, frozen=True):
    """What is attached to an image: its kind, its bytes, and what a listing says of it."""

    artifact_type: str
    media_type: str
    data: bytes
    annotations: dict[str, str] = {}


class Referrer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An artifact's entry in a listing of what refers to an image."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] = {}


class _Index(msgspec.Struct, frozen=True, rename="camel"):
    manifests: tuple[dict[str, Any], ...]
    media_type: str = ""


def empty() -> Descriptor:
    """The descriptor of the config that an artifact has in place of one."""
    return Descriptor(_EMPTY_TYPE, oci.digest_of(EMPTY), len(EMPTY))


def blob(artifact: Artifact) -> Descriptor:
    """The descriptor of what it holds."""
    return Descriptor(artifact.media_type, oci.digest_of(artifact.data), len(artifact.data))


def manifest(artifact: Artifact, subject: Descriptor) -> bytes:
    """Its manifest: one order of keys, no blanks, no time."""
    notes = {"annotations": dict(sorted(artifact.annotations.items()))} if artifact.annotations else {}
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": artifact.artifact_type,
            "config": _object(empty()),
            "layers": [_object(blob(artifact))],
            "subject": _object(subject),
            **notes,
        }
    )


def referrer(artifact: Artifact, subject: Descriptor) -> Referrer:
    """Its entry in a listing; artifactType and annotations are those of its manifest, as the specification wants."""
    data = manifest(artifact, subject)
    return Referrer(oci.MANIFEST, oci.digest_of(data), len(data), artifact.artifact_type, artifact.annotations)


def tag(digest: str) -> str:
    """The tag of the index that lists an image's referrers (distribution-spec 1.1, referrers tag schema)."""
    algorithm, _, encoded = digest.partition(":")
    return _NO_TAG.sub("-", f"{algorithm[:32]}-{encoded[:64]}")


def listing(data: bytes, what: str) -> tuple[Referrer, ...]:
    """The entries of such an index. Raises PublishError when it is something else."""
    return tuple(typed.convert(each, Referrer) for each in _decoded(data, what).manifests)


def added(data: bytes | None, new: Sequence[Referrer], what: str) -> bytes:
    """An index with further entries, each once; what others have written there stays as they wrote it."""
    there = _decoded(data, what).manifests if data is not None else ()
    known = {each.get("digest") for each in there}
    entries = [*there, *(msgspec.to_builtins(each) for each in new if each.digest not in known)]
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries})


def _decoded(data: bytes, what: str) -> _Index:
    try:
        found = typed.decode(data, _Index)
        for each in found.manifests:
            typed.convert(each, Referrer)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PublishError(f"{what} is not an image index: {error}", "remove it, or publish elsewhere") from error
    if found.media_type not in ("", oci.INDEX):
        raise PublishError(
            f"{what} is not an image index but {found.media_type[:80]}", "remove it, or publish elsewhere"
        )
    return found


def _object(descriptor: Descriptor) -> Mapping[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}

"""OCI image layouts on disk (image-spec 1.1, image-layout.md): written beside their place, moved into it, added to.

Files are copies: a cache that shared its files with a folder of the user's would change with it.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from cdaf.errors import PublishError
from cdaf.images import artifacts, oci
from cdaf.images.artifacts import Artifact, Referrer
from cdaf.images.oci import Descriptor, Image

_FULL = {errno.ENOSPC, errno.EDQUOT}


def tags(folder: Path) -> dict[str, str]:
    """The digests that a layout's tags name; empty without a layout. Raises PublishError for any other content."""
    return {_name(entry): str(entry.get("digest")) for entry in _existing(folder) or () if _name(entry)}


def write(
    folder: Path,
    images: Sequence[Image],
    names: Sequence[str] = (),
    attached: Sequence[tuple[Descriptor, Artifact]] = (),
) -> Literal["created", "present"]:
    """Write images under tags; a layout that is there is added to, and its other entries stay.

    `attached` are artifacts with the manifests that they refer to; they are listed as in a registry without the
    referrers API, in an index under a tag of their subject's. Raises ImageError when a base layer is not in the cache,
    PublishError when the folder is something else or cannot be written to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder), _scratch(folder) as scratch:
            return _write(folder, images, names, attached, scratch)
    except OSError as error:
        raise PublishError(
            f"{folder} cannot be written: {error.strerror or error}",
            "name another folder, or free space on its disk",
            transient=error.errno in _FULL,
        ) from error


def _write(
    folder: Path,
    images: Sequence[Image],
    names: Sequence[str],
    attached: Sequence[tuple[Descriptor, Artifact]],
    scratch: Path,
) -> Literal["created", "present"]:
    data, media_type, digest = oci.published(images)
    old = _existing(folder)
    root = Descriptor(media_type, digest, len(data), images[0].platform if len(images) == 1 else None)
    lists, small = _listed(folder, old or (), attached)
    new = [oci.named(root, name) for name in names or ("",)] + lists
    small |= {digest: data, **{each.digest: each.manifest for each in images}}
    small |= {each.config_digest: each.config for each in images}
    if old is not None and all(entry in old for entry in new) and _complete(folder, images, small):
        return "present"
    taken = {*names, *map(_name, lists)}
    kept = [entry for entry in old or () if _name(entry) not in taken and entry not in new]
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*kept, *new]}
    _fill(scratch, folder, images, small)
    (scratch / "index.json").write_bytes(msgspec.json.encode(index))
    _move(scratch, folder)
    return "created"


def _listed(
    folder: Path, old: Sequence[Mapping[str, Any]], attached: Sequence[tuple[Descriptor, Artifact]]
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The entries of the indexes that list what refers to each subject, and all blobs of both, by digest."""
    blobs: dict[str, bytes] = {oci.digest_of(artifacts.EMPTY): artifacts.EMPTY} if attached else {}
    found: dict[str, list[Referrer]] = {}
    for subject, artifact in attached:
        entry = artifacts.referrer(artifact, subject)
        found.setdefault(artifacts.tag(subject.digest), []).append(entry)
        blobs |= {entry.digest: artifacts.manifest(artifact, subject), oci.digest_of(artifact.data): artifact.data}
    entries = []
    for tag, referrers in found.items():
        there = next((str(entry.get("digest")) for entry in old if _name(entry) == tag), "")
        before = (folder / oci.blob_name(there)).read_bytes() if there and _has(folder, there) else None
        data = artifacts.added(before, referrers, f"{tag} in {folder}")
        blobs[oci.digest_of(data)] = data
        entries.append(oci.named(Descriptor(oci.INDEX, oci.digest_of(data), len(data)), tag))
    return entries, blobs


def _existing(folder: Path) -> list[dict[str, Any]] | None:
    """The entries of a layout, None when there is none. Raises PublishError for any other content."""
    try:
        if not any(folder.iterdir()):
            return None
        layout = msgspec.json.decode((folder / "oci-layout").read_bytes())
        index = msgspec.json.decode((folder / "index.json").read_bytes())
        if layout.get("imageLayoutVersion") == "1.0.0" and isinstance(index["manifests"], list):
            return list(index["manifests"])
    except FileNotFoundError:
        if not folder.exists():
            return None
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, NotADirectoryError):
        pass
    raise PublishError(f"{folder} is there and is not an OCI layout 1.0.0", "name another folder, or remove it")


def _name(entry: Mapping[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(oci.REF_NAME, ""))


def _complete(folder: Path, images: Sequence[Image], small: Mapping[str, bytes]) -> bool:
    wanted = {*small, *(layer.digest for layer in oci.blobs(images))}
    return all(_has(folder, digest) for digest in sorted(wanted))


def _has(folder: Path, digest: str) -> bool:
    """Whether a layout has a blob, read again: what lies on a disk for long may have changed."""
    try:
        with (folder / oci.blob_name(digest)).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == oci.hexed(digest)
    except FileNotFoundError:
        return False


def _fill(scratch: Path, folder: Path, images: Sequence[Image], small: Mapping[str, bytes]) -> None:
    (scratch / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in small.items():
        (scratch / oci.blob_name(digest)).write_bytes(data)
    for layer in oci.blobs(images):
        if not _has(folder, layer.digest):
            with (scratch / oci.blob_name(layer.digest)).open("wb") as copy:
                copy.writelines(oci.chunks(layer))
    (scratch / "oci-layout").write_bytes(oci.LAYOUT_FILE)


def _move(scratch: Path, folder: Path) -> None:
    """A new layout appears by one rename; into one that is there `index.json` comes last: it names what is there."""
    if not folder.exists() or not any(folder.iterdir()):
        scratch.replace(folder)
        return
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    for blob in (scratch / "blobs" / "sha256").iterdir():
        blob.replace(folder / "blobs" / "sha256" / blob.name)
    (scratch / "index.json").replace(folder / "index.json")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder beside the layout, ours alone as long as we hold its lock; what killed runs left is removed first.

    Only to be entered under `_locked`: before a new folder bears its lock, another would take it for a leftover.
    """
    prefix = f".{folder.name}.cdaf-part-"
    for left in folder.parent.glob(f"{prefix}*"):
        with suppress(OSError), _holding(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(left)
    own = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        with _holding(own, fcntl.LOCK_EX):
            yield own / "layout"
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two that add to one layout do so one after the other: each reads `index.json` before it writes it."""
    with _holding(folder.parent, fcntl.LOCK_EX):
        yield


@contextmanager
def _holding(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)

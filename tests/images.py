"""Small images for tests, their layers real blobs in the store."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cdaf import store
from cdaf.images import oci
from cdaf.images.oci import Image, Layer
from cdaf.images.plan import BasePin

Members = Mapping[str, "bytes | tarfile.TarInfo"]


def tar(members: Members) -> bytes:
    """A tar of files by their bytes, and of whatever else as a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                made.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o755 if "/bin/" in f"/{name}" else 0o644
                made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member without content: tarfile.SYMTYPE and the like."""
    info = tarfile.TarInfo()
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info


def link(target: str) -> tarfile.TarInfo:
    """A symbolic link."""
    return entry(tarfile.SYMTYPE, target)


def layer(members: Members, name: str = "layer", *, kept: bool = True) -> tuple[Layer, bytes]:
    """A gzip layer and its blob; `kept` puts it into the store."""
    plain = tar(members)
    data = gzip.compress(plain, mtime=0)
    path: Path | None = store.put("blobs", [data])[1] if kept else None
    diff_id = "sha256:" + hashlib.sha256(plain).hexdigest()
    return Layer(oci.digest_of(data), diff_id, len(data), oci.LAYER_GZIP, name, path), data


def image(layers: tuple[Layer, ...], platform: str = "linux/amd64", base: BasePin | None = None) -> Image:
    """An image of these layers."""
    config = msgspec.json.encode(
        {
            **oci.platform_object(platform),
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        }
    )
    manifest = oci.manifest_bytes(oci.config_descriptor(config), layers)
    return Image(platform, oci.digest_of(manifest), manifest, config, oci.digest_of(config), layers, base)


def simple(text: str = "hello", platform: str = "linux/amd64") -> Image:
    """An image of one layer with one file."""
    return image((layer({"etc/motd": text.encode()})[0],), platform)

"""Write images to a local registry with the standard library alone (OCI distribution specification 1.1)."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tools.state import ToolError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed layer on disk; `diff_id` is the digest of the tar inside."""

    path: Path
    digest: str
    diff_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """One platform's image; `config` is the `config` object of the image specification."""

    platform: str
    layers: tuple[Layer, ...]
    config: Mapping[str, Any]
    created: str


class _Hashing(io.RawIOBase):
    """A file being written, and the digest and size of what was written."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.sha, self.size = target, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        self.sha.update(data)
        self.size += len(data)
        return self.target.write(data)


@contextmanager
def layer_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, list[Layer]]]:
    """A tar to fill; at the end the list holds the one layer that it became, at `path`."""
    made: list[Layer] = []
    with path.open("wb") as file:
        outer = _Hashing(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=outer, mtime=0) as coder:
            inner = _Hashing(coder)  # type: ignore[arg-type]
            with tarfile.open(fileobj=inner, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield tar, made
    made.append(Layer(path, f"sha256:{outer.sha.hexdigest()}", f"sha256:{inner.sha.hexdigest()}", outer.size))


def push(port: int, repository: str, tag: str, images: list[Image]) -> str:
    """Write an index of these images and return its digest; everything it names is there before it."""
    registry = _Registry(port, repository)
    entries = [_image(registry, image) for image in images]
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    registry.manifest(tag, INDEX, index)
    registry.close()
    return digest(index)


def _image(registry: _Registry, image: Image) -> dict[str, Any]:
    system, _, machine = image.platform.partition("/")
    config = _json(
        {
            "architecture": machine.partition("/")[0],
            "os": system,
            **({"variant": machine.partition("/")[2]} if "/" in machine else {}),
            "created": image.created,
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
            "history": [{"created": image.created, "created_by": "tools"} for _ in image.layers],
        }
    )
    for layer in image.layers:
        registry.blob(layer.digest, layer.path)
    registry.blob(digest(config), config)
    layers = [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in image.layers]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
            "layers": layers,
        }
    )
    registry.manifest(digest(manifest), MANIFEST, manifest)
    platform = {"architecture": machine.partition("/")[0], "os": system}
    if "/" in machine:
        platform["variant"] = machine.partition("/")[2]
    return {"mediaType": MANIFEST, "digest": digest(manifest), "size": len(manifest), "platform": platform}


def digest(data: bytes) -> str:
    """The digest of some bytes, as the specifications write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class _Registry:
    """One repository of a registry on loopback, over one connection."""

    def __init__(self, port: int, repository: str) -> None:
        self.base = f"/v2/{repository}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, wanted: int, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            self.connection.request(method, path, body, named)
            response = self.connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ToolError(f"the local registry does not answer {method} {path}: {error}") from None
        if response.status not in {wanted, http.client.NOT_FOUND if method == "HEAD" else wanted}:
            raise ToolError(f"the local registry answers {method} {path} with {response.status}", "", said.decode())
        return response

    def blob(self, name: str, content: bytes | Path) -> None:
        if self.call("HEAD", f"{self.base}/blobs/{name}", 200).status == http.client.OK:
            return
        where = self.call("POST", f"{self.base}/blobs/uploads/", 202, b"").headers["Location"]
        path = "/" + where.split("://", 1)[-1].split("/", 1)[1]
        target = f"{path}{'&' if '?' in path else '?'}digest={name}"
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        length = {"Content_Length": str(size), "Content_Type": "application/octet-stream"}
        if isinstance(content, Path):
            with content.open("rb") as body:
                self.call("PUT", target, 201, body, **length)
        else:
            self.call("PUT", target, 201, content, **length)

    def manifest(self, name: str, kind: str, content: bytes) -> None:
        self.call("PUT", f"{self.base}/manifests/{name}", 201, content, Content_Type=kind)

    def close(self) -> None:
        self.connection.close()


def served(port: int, repository: str, name: str) -> str | None:
    """The digest that a registry on loopback serves for a tag or digest of a repository, if any."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("HEAD", f"/v2/{repository}/manifests/{name}", headers={"Accept": f"{INDEX}, {MANIFEST}"})
        response = connection.getresponse()
        return response.headers["Docker-Content-Digest"] if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()

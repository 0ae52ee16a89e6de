"""What stands in a registry, asked by a client that is not cdaf's."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

KINDS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")


def compressed(reference: str) -> int:
    """The size of an image's layers as `HOST:PORT/NAME:TAG` or `…@DIGEST` serves them, over plain HTTP."""
    authority, _, rest = reference.partition("/")
    name, _, wanted = rest.partition("@") if "@" in rest else rest.rpartition(":")
    found = _manifest(authority, name, wanted)
    return sum(int(layer["size"]) for layer in found["layers"])


def last_layer(reference: str) -> int:
    """The size of an image's last layer, which is the service's own."""
    authority, _, rest = reference.partition("/")
    name, _, wanted = rest.partition("@")
    return int(_manifest(authority, name, wanted)["layers"][-1]["size"])


def stored(storage: Path) -> int:
    """The bytes of all blobs that a registry holds, manifests and configs among them."""
    return sum(each.stat().st_size for each in storage.rglob("data") if each.is_file())


def _manifest(authority: str, name: str, wanted: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(authority, timeout=30)
    try:
        connection.request("GET", f"/v2/{name}/manifests/{wanted}", headers={"Accept": ", ".join(KINDS)})
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert isinstance(found, dict), found
    return found

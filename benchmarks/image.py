"""What stands in a registry, asked by a client that is not cdaf's."""

from __future__ import annotations

import http.client
import json
from typing import Any

KINDS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")


def compressed(reference: str) -> int:
    """The size of an image's layers as `HOST:PORT/NAME:TAG` or `…@DIGEST` serves them, over plain HTTP."""
    authority, _, rest = reference.partition("/")
    name, _, wanted = rest.partition("@") if "@" in rest else rest.rpartition(":")
    found = _manifest(authority, name, wanted)
    return sum(int(layer["size"]) for layer in found["layers"])


def _manifest(authority: str, name: str, wanted: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(authority, timeout=30)
    try:
        connection.request("GET", f"/v2/{name}/manifests/{wanted}", headers={"Accept": ", ".join(KINDS)})
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert isinstance(found, dict), found
    return found

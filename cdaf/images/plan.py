"""The language-neutral image plan: pure data that says which archive or file stands where in the image.

It is written at package time as `plan.json` and is all that the assembler knows of a service.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from cdaf import typed
from cdaf.errors import BundleError

Platform = str  # "linux/amd64", as in the OCI image index's platform object, os/architecture[/variant]


class Rewrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A folder of an archive that goes elsewhere: members below `source` land below `target`; so does a single file.

    `mode` replaces the mode of files so moved (0o755 for a wheel's `scripts/`, and for the program of a package).
    """

    source: str
    target: str
    mode: int | None = None


class Unpack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="unpack"):
    """Spread an archive of the bundle, a zip or a tar (gzip'ed or not), under `prefix`.

    `strip` leading components are removed; `rewrites` (first match wins) are tried before `prefix`;
    members named in `skip` (exact names, before strip) are left out.
    """

    archive: str
    prefix: str
    strip: int = 0
    rewrites: tuple[Rewrite, ...] = ()
    skip: tuple[str, ...] = ()


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="place"):
    """Put one file of the bundle at `path`; `mode` is 0o644 or 0o755."""

    member: str
    path: str
    mode: int = 0o644


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="link"):
    """A symbolic link at `path` that points to `target`."""

    path: str
    target: str


class Dir(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="dir"):
    """A folder; state folders belong to the service's user."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


Entry = Unpack | Place | Link | Dir


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One layer of the image, in plan order; `name` is what people see."""

    name: str
    entries: tuple[Entry, ...]


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine's own health check (Docker's extension of the image config); times in seconds."""

    command: tuple[str, ...]
    interval: int = 10
    timeout: int = 5
    start_period: int = 30
    retries: int = 3


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The runtime part of the image config (OCI image-spec, config.md) that the service adds to its base's."""

    command: tuple[str, ...]
    environment: dict[str, str]
    user: str
    folder: str
    port: int | None
    labels: dict[str, str]
    volumes: tuple[str, ...] = ()
    health: Health | None = None


class BasePin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of one platform: the reference as the user wrote it and the platform manifest's digest."""

    reference: str
    digest: str


class ImagePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The whole image of one platform."""

    platform: Platform
    base: BasePin
    layers: tuple[Layer, ...]
    config: Config
    created: str  # RFC 3339, the commit's time
    compression: Literal["gzip", "zstd"] = "gzip"


class SmokePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes on top of the tested image (or of `base`, when given) to run the checks beside it."""

    platform: Platform
    layers: tuple[Layer, ...]
    environment: dict[str, str]
    folder: str
    base: BasePin | None = None


class Plans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything in `plan.json`."""

    format: Literal[1]
    images: tuple[ImagePlan, ...]
    smoke: tuple[SmokePlan, ...] = ()


def encode(plans: Plans) -> bytes:
    """The canonical bytes of `plan.json`: sorted keys, no blanks, a final newline."""
    return msgspec.json.encode(plans, order="sorted") + b"\n"


def decode(data: bytes) -> Plans:
    """Read `plan.json`. Raises BundleError when it is not a plan of format 1."""
    try:
        return typed.decode(data, Plans)
    except msgspec.MsgspecError as error:
        raise BundleError(f"plan.json: {error}", "package the service again with a matching version of cdaf") from error


def folders(layers: Iterable[Layer]) -> dict[str, Dir]:
    """The folders that layers declare, by their path in a tar."""
    return {entry.path.lstrip("/"): entry for each in layers for entry in each.entries if isinstance(entry, Dir)}


def members(layers: tuple[Layer, ...]) -> set[str]:
    """The bundle members that the layers read."""
    entries = [entry for layer in layers for entry in layer.entries]
    archives = {entry.archive for entry in entries if isinstance(entry, Unpack)}
    return archives | {entry.member for entry in entries if isinstance(entry, Place)}

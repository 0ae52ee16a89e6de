"""`manifest.toml`: what a bundle is, for people and tools; everything that release needs to know."""

from typing import Literal

import msgspec

from cdaf import toml, typed
from cdaf.errors import BundleError
from cdaf.settings import settings

Role = Literal["image", "smoke", "build"]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of the manifest; what is absent has its default."""


class Service(Table, frozen=True, kw_only=True):
    """The service as it will run."""

    name: str
    version: str  # the semver spelling
    language: str
    start: tuple[str, ...]
    port: int | None = None
    environment: dict[str, str] = {}
    user: str = "app"
    uid: int = 10001  # -1 where only a sealed image's passwd knows
    state: tuple[str, ...] = ()
    license: str | None = None  # as its own manifest says it, where it is no archive that does


class Source(Table, frozen=True, kw_only=True):
    """Where the service's own files came from; `time` is the commit's, RFC 3339, the only time in a bundle."""

    time: str
    repository: str | None = None
    commit: str | None = None
    dirty: bool = False
    release: bool = False  # whether {version} may be tagged


class Base(Table, frozen=True, kw_only=True):
    """An image of one platform, pinned: the image's base, the checks' own, or one that something was built in."""

    platform: str
    reference: str
    digest: str
    role: Role = "image"


class Sidecar(Table, frozen=True, kw_only=True):
    """An image that stands beside the service in its test, pinned; `digest` is the index's or the manifest's."""

    reference: str
    digest: str


class Dependency(Table, frozen=True, kw_only=True):
    """One archive of the bundle.

    `url` is upstream's, without credentials; `hash` is the lock's, with its algorithm (`sha512:…`); `sha256` is ours.
    An archive built at package time has `built_from` (the sdist's URL, a git URL with its commit, or a path).
    `license` is what the archive says of itself, an SPDX expression where it has one; `requires` names the
    dependencies that this one needs, as the lock has them.
    """

    name: str
    version: str
    purl: str
    archive: str
    sha256: str
    platforms: tuple[str, ...]
    group: str = "main"
    url: str | None = None
    hash: str | None = None
    built_from: str | None = None
    license: str | None = None
    requires: tuple[str, ...] = ()


class Layer(Table, frozen=True, kw_only=True):
    """One layer of an image, above its base's; `size` in bytes, of the blob."""

    name: str
    digest: str
    diff_id: str
    size: int


class Foretold(Table, frozen=True, kw_only=True):
    """The digest of one platform's image manifest: foretold by the assembler, or sealed (a Dockerfile service's)."""

    platform: str
    digest: str
    sealed: bool = False
    network: bool | None = None  # of a sealed one: whether its build might use the network
    layers: tuple[Layer, ...] = ()


class Smoke(Table, frozen=True, kw_only=True):
    """The smoke test as declared, its images pinned; compose files are bundle members."""

    declared: settings.Smoke = settings.Smoke()
    sidecars: tuple[Sidecar, ...] = ()
    compose: tuple[str, ...] = ()


class Tools(Table, frozen=True, kw_only=True):
    """What made the bundle."""

    cdaf: str
    assembler: int
    resolver: dict[str, str] = {}


class Manifest(Table, frozen=True, kw_only=True):
    """The whole of `manifest.toml`."""

    format: Literal[1]
    service: Service
    source: Source
    bases: tuple[Base, ...] = ()
    images: tuple[Foretold, ...] = ()
    smoke: Smoke = Smoke()
    publish: settings.Publish = settings.Publish()
    environments: dict[str, settings.Publish] = {}
    tools: Tools
    dependencies: tuple[Dependency, ...] = ()


def encode(manifest: Manifest) -> bytes:
    """The canonical TOML of a manifest: the types' own order, `format` first."""
    import tomli_w

    data = msgspec.to_builtins(manifest, str_keys=True)
    return tomli_w.dumps({"format": 1, **data}, multiline_strings=False).encode()


def decode(data: bytes) -> Manifest:
    """Read `manifest.toml`. Raises BundleError when it is not one of format 1."""
    try:
        parsed = toml.decode(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"manifest.toml: {error}", "package the service again") from error
    found = parsed.get("format")
    if found != 1:
        raise BundleError(f"manifest.toml: format {found!r}, and this cdaf reads format 1", "upgrade cdaf")
    try:
        return typed.convert(parsed, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"manifest.toml: {error}", "package the service again with a matching cdaf") from error

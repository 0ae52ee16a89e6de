"""What the user writes, as types: the tables of `cdaf.toml`.

Both sides use these: package reads the file, the manifest carries what release needs, and release may override it.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Command = tuple[str, ...]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of `cdaf.toml`; unknown keys are faults."""


class User(Table, frozen=True, kw_only=True):
    """Who the service runs as."""

    name: Annotated[str, Meta(description="Name in passwd and group.", pattern=r"^[a-z_][a-z0-9_-]{0,30}$")] = "app"
    id: Annotated[int, Meta(description="Numeric id of user and group.", ge=1, le=60000)] = 10001


class Service(Table, frozen=True, kw_only=True):
    """The service itself."""

    start: Annotated[
        Command,
        Meta(description="The command that starts it, as a list. A Dockerfile says it itself.", min_length=1),
    ] = ()
    name: Annotated[str | None, Meta(description="Default: the name in the language's own manifest.")] = None
    version: Annotated[str | None, Meta(description="Default: the version there, or git's tag.")] = None
    language: Annotated[str | None, Meta(description="Default: told from the lockfile present.")] = None
    repository: Annotated[
        str | None, Meta(description="URL of its source, for the image's label. Never taken from a clone's remote.")
    ] = None
    port: Annotated[Port | None, Meta(description="The port that it listens on.")] = None
    include: Annotated[tuple[str, ...], Meta(description="Allow-list of tracked files, to /app.")] = ()
    env: Annotated[dict[str, str], Meta(description="Environment of the image. Never a secret.")] = {}
    state: Annotated[tuple[str, ...], Meta(description="Folders the service may write to.")] = ()
    extras: Annotated[tuple[str, ...], Meta(description="Extras of the project to take in.")] = ()
    groups: Annotated[tuple[str, ...], Meta(description="Dependency groups to take in.")] = ()
    user: Annotated[User, Meta(description="Who the service runs as.")] = User()


class Build(Table, frozen=True, kw_only=True):
    """Commands at CI time, in a container without network."""

    run: Annotated[tuple[Command, ...], Meta(description="Commands, in order, at /app.")] = ()
    outputs: Annotated[tuple[str, ...], Meta(description="What they make; may name ignored paths.")] = ()
    image: Annotated[str | None, Meta(description="The image they run in. Default: the base.")] = None


class Image(Table, frozen=True, kw_only=True):
    """The runtime image."""

    base: Annotated[str | None, Meta(description="The base image. Default: the language's.")] = None
    platforms: Annotated[tuple[str, ...], Meta(description="The platforms to make.", min_length=1)] = ("linux/amd64",)
    exclude: Annotated[
        tuple[str, ...],
        Meta(description="Patterns of files left out of archives, by their path below site-packages, node_modules, …."),
    ] = ()
    unaudited: Annotated[
        tuple[str, ...],
        Meta(description="Patterns of native files that need not fit the base, by the same paths."),
    ] = ()
    bytecode: Annotated[bool, Meta(description="Whether modules come compiled, by the base's own interpreter.")] = True
    compression: Annotated[Literal["gzip", "zstd"], Meta(description="How the layers are compressed.")] = "gzip"


class Smoke(Table, frozen=True, kw_only=True):
    """The smoke test."""

    health: Annotated[str | None, Meta(description="Path that answers 2xx when the service is ready.")] = None
    before: Annotated[tuple[Command, ...], Meta(description="Run in the tested image first.")] = ()
    sidecars: Annotated[tuple[str, ...], Meta(description="Images that stand beside the service.")] = ()
    compose: Annotated[tuple[str, ...], Meta(description="Further compose files, merged in order.")] = ()
    env: Annotated[dict[str, str], Meta(description="Environment of the service in the test alone.")] = {}
    secrets: Annotated[tuple[str, ...], Meta(description="Variables handed over at release, by name.")] = ()
    group: Annotated[str | None, Meta(description="Dependency group of the checks.")] = None
    checks: Annotated[Command, Meta(description="The command that checks the service.")] = ()
    image: Annotated[str | None, Meta(description="Another base for the checks.")] = None
    files: Annotated[tuple[str, ...], Meta(description="The checks' own files, tracked, to /app.")] = ("smoke/**",)
    restart: Annotated[bool, Meta(description="Restart the service and run the checks once more.")] = False
    timeout: Annotated[int, Meta(description="Seconds until the service must be healthy.", ge=1)] = 60
    check_timeout: Annotated[int, Meta(description="Seconds that the checks may take.", ge=1)] = 600
    untested: Annotated[tuple[str, ...], Meta(description="Platforms published without a run.")] = ()


class Publish(Table, frozen=True, kw_only=True):
    """Where a tested image goes."""

    to: Annotated[tuple[str, ...], Meta(description="Targets, kind:where.")] = ()
    tags: Annotated[tuple[str, ...], Meta(description="Tags that never move.")] = ("sha-{commit}", "{version}")
    moving: Annotated[tuple[str, ...], Meta(description="Tags that may move.")] = ()


class Node(Table, frozen=True, kw_only=True):
    """Node's own settings."""

    scripts: Annotated[
        tuple[str, ...],
        Meta(description="Packages whose install scripts run, in the build image and without network."),
    ] = ()
    ignored: Annotated[
        tuple[str, ...], Meta(description="Packages that do without their install scripts, as you know.")
    ] = ()


class Php(Table, frozen=True, kw_only=True):
    """PHP's own settings."""

    composer: Annotated[str, Meta(description="The image whose Composer writes the autoloader.")] = "composer:2"
    plugins: Annotated[
        tuple[str, ...],
        Meta(description="Composer plugins that run, in that image and without network."),
    ] = ()


class Docker(Table, frozen=True, kw_only=True):
    """How a service that has its own Dockerfile is built."""

    file: Annotated[str, Meta(description="The Dockerfile, below the service.")] = "Dockerfile"
    target: Annotated[str | None, Meta(description="The stage to build. Default: the last.")] = None
    context: Annotated[
        tuple[str, ...],
        Meta(
            description="Allow-list of tracked files; the repository's root is the context then. "
            "Default: the service's folder, with all that is tracked below it."
        ),
    ] = ()
    contexts: Annotated[
        dict[str, str],
        Meta(description="Named contexts: a folder, from the repository's root, or `docker-image://` and an image."),
    ] = {}
    args: Annotated[dict[str, str], Meta(description="Build arguments. Never a secret.")] = {}
    secrets: Annotated[
        tuple[str, ...], Meta(description="Variables that the build may mount as secrets, by name.")
    ] = ()
    network: Annotated[bool, Meta(description="Whether the build may use the network.")] = True
    cache: Annotated[
        bool, Meta(description="Whether what earlier builds made may serve again; false builds everything anew.")
    ] = True
    cache_from: Annotated[
        tuple[str, ...], Meta(description="References to take layers from; the first that exists serves.")
    ] = ()
    cache_to: Annotated[str | None, Meta(description="Where layers are kept for later: `inline`, or a reference.")] = (
        None
    )


class Settings(Table, frozen=True, kw_only=True):
    """The whole of `cdaf.toml`."""

    service: Service = Service()
    build: Build = Build()
    image: Image = Image()
    node: Node = Node()
    php: Php = Php()
    docker: Docker = Docker()
    smoke: Smoke = Smoke()
    publish: Publish = Publish()
    environments: Annotated[dict[str, Publish], Meta(description="Named sets of targets, for --to NAME.")] = {}


def table_type(name: str) -> Any:
    """The type of a top-level table, for key-by-key conversion."""
    return msgspec.structs.fields(Settings)[[f.name for f in msgspec.structs.fields(Settings)].index(name)].type

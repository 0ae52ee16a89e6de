"""Stand-ins for public images, made of Debian's packages where no public registry can be reached."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools import apt, npm, push, rootfs, state

REVISION = 1  # of how images are made; a new one makes all anew
FILES = Path(__file__).parent / "images"
LABEL = "org.cdaf.stand-in"
AT_ONCE = 2
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class StandIn:
    """One image: its public name, Debian's packages, and the configuration that its users rely on.

    `shows` is the package whose version the label tells. Files of tools/images/NAME go to the same place in the image.
    """

    name: str
    tag: str
    packages: tuple[str, ...]
    shows: str
    config: Mapping[str, Any]
    links: Mapping[str, str] = field(default_factory=dict)
    arches: tuple[str, ...] = ()
    suite: str = rootfs.SUITE
    node: str = field(default="", repr=False)  # Node and npm of this major version, from the npm registry

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def repository(self) -> str:
        return self.name if "/" in self.name else f"library/{self.name}"


ENTRY = ["/usr/local/bin/docker-entrypoint.sh"]


def _server(command: list[str], ports: list[int], volume: str, env: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "Entrypoint": ENTRY,
        "Cmd": command,
        "Env": [PATH, *env],
        "ExposedPorts": {f"{port}/tcp": {} for port in ports},
        "Volumes": {volume: {}},
    }


PYTHON = StandIn(
    "python",
    "3.13-slim",
    ("python3", "ca-certificates", "netbase", "tzdata"),
    "python3.13",
    {"Cmd": ["python3"], "Env": [PATH, "LANG=C.UTF-8"]},
    {"usr/bin/python": "python3"},
    ("amd64", "arm64"),
)
POSTGRES = StandIn(
    "postgres",
    "17",
    ("postgresql-17", "tzdata"),
    "postgresql-17",
    _server(
        ["postgres"],
        [5432],
        "/var/lib/postgresql/data",
        ("LANG=C.UTF-8", "PG_MAJOR=17", "PGDATA=/var/lib/postgresql/data"),
    )
    | {"StopSignal": "SIGINT"},
    {f"usr/local/bin/{tool}": f"../../lib/postgresql/17/bin/{tool}" for tool in ("postgres", "initdb", "pg_ctl")},
)
REDIS = StandIn("redis", "7", ("redis-server",), "redis-server", _server(["redis-server"], [6379], "/data"))
NATS = StandIn(
    "nats",
    "2",
    ("nats-server",),
    "nats-server",
    {
        "Entrypoint": ENTRY,
        "Cmd": ["nats-server", "--config", "/nats-server.conf"],
        "Env": [PATH],
        "ExposedPorts": {"4222/tcp": {}, "6222/tcp": {}, "8222/tcp": {}},
    },
    {"nats-server": "usr/bin/nats-server"},
)
NGINX = StandIn(
    "nginx",
    "1",
    ("nginx-light", "curl"),
    "nginx",
    {
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": [PATH],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    },
)
RABBITMQ = StandIn(
    "rabbitmq",
    "4",
    ("rabbitmq-server",),
    "rabbitmq-server",
    _server(
        ["rabbitmq-server"],
        [4369, 5671, 5672, 25672],
        "/var/lib/rabbitmq",
        ("LANG=C.UTF-8", "HOME=/var/lib/rabbitmq"),
    ),
)
MARIADB = StandIn(
    "mariadb",
    "11",
    ("mariadb-server",),
    "mariadb-server",
    _server(["mariadbd"], [3306], "/var/lib/mysql", ("LANG=C.UTF-8",)),
)
MAILPIT = StandIn(
    "axllent/mailpit",
    "v1.20",
    ("python3-minimal", "python3-aiosmtpd"),
    "python3-aiosmtpd",
    {
        "Entrypoint": ["/mailpit"],
        "Env": [PATH, "LANG=C.UTF-8"],
        "ExposedPorts": {"1025/tcp": {}, "8025/tcp": {}},
    },
)
_RUBY = {
    "Cmd": ["irb"],
    "Env": [
        PATH.replace("PATH=", "PATH=/usr/local/bundle/bin:"),
        "LANG=C.UTF-8",
        "RUBY_VERSION={version}",
        "GEM_HOME=/usr/local/bundle",
        "BUNDLE_SILENCE_ROOT_WARNING=1",
        "BUNDLE_APP_CONFIG=/usr/local/bundle",
    ],
}
_RUBY_PACKAGES = ("ruby", "bundler", "ca-certificates", "netbase", "tzdata")
RUBY = StandIn("ruby", "3.3-slim", _RUBY_PACKAGES, "ruby3.3", _RUBY)
RUBY_BUILD = StandIn(
    "ruby", "3.3", (*_RUBY_PACKAGES, "ruby-dev", "gcc", "make", "libc6-dev", "libssl-dev"), "ruby3.3", _RUBY
)
PHP = StandIn(
    "php",
    "8.4-cli",
    ("php8.4-cli", "php8.4-curl", "php8.4-mbstring", "php8.4-sqlite3", "php8.4-xml", "ca-certificates"),
    "php8.4-cli",
    {
        "Entrypoint": ["docker-php-entrypoint"],
        "Cmd": ["php", "-a"],
        "Env": [PATH, "PHP_VERSION={version}"],
    },
    {"usr/local/bin/php": "../../bin/php8.4"},
)
COMPOSER = StandIn(
    "composer",
    "2",
    ("composer", "php8.4-cli", "php8.4-curl", "php8.4-mbstring", "unzip", "ca-certificates"),
    "composer",
    {
        "Cmd": ["composer"],
        "Env": [PATH, "PHP_VERSION=8.4", "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_HOME=/tmp"],
        "WorkingDir": "/app",
    },
)
_NODE = {"Cmd": ["node"], "Env": [PATH, "NODE_VERSION={node}"]}
_NODE_PACKAGES = ("libstdc++6", "libatomic1", "ca-certificates")
NODE = StandIn("node", "22-slim", _NODE_PACKAGES, "libstdc++6", _NODE, arches=("amd64", "arm64"), node=npm.MAJOR)
NODE_BUILD = StandIn("node", "22", (*_NODE_PACKAGES, "python3", "make", "g++"), "libstdc++6", _NODE, node=npm.MAJOR)
GOLANG = StandIn(
    "golang",
    "1.24",
    ("golang-1.24-go", "ca-certificates"),
    "golang-1.24-go",
    {
        "Cmd": ["bash"],
        "Env": [
            PATH.replace("PATH=", "PATH=/go/bin:/usr/local/go/bin:"),
            "GOLANG_VERSION={version}",
            "GOTOOLCHAIN=local",
            "GOPATH=/go",
        ],
        "WorkingDir": "/go",
    },
    {"usr/local/go": "../lib/go-1.24"},
)
ORDERS = (PYTHON, POSTGRES, REDIS)  # what the example needs
ALL = (*ORDERS, RABBITMQ, MARIADB, NATS, NGINX, MAILPIT, NODE, NODE_BUILD, RUBY, RUBY_BUILD, PHP, COMPOSER, GOLANG)


def key(image: StandIn) -> str:
    """What an image is made from, as a digest: the same key means that nothing need be done."""
    parts = [repr((REVISION, rootfs.EPOCH, rootfs.UNWANTED, image))]
    parts += [f"{name}\0{content!r}" for name, content in sorted(_files(image).items())]
    parts += [f"node {image.node}"] if image.node else []
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _files(image: StandIn) -> dict[str, bytes]:
    home = FILES / image.name
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def missing(port: int, images: tuple[StandIn, ...] = ALL) -> list[StandIn]:
    """Those that the registry does not hold as they would be made now."""
    known = state.read("images")
    return [
        image
        for image in images
        if known.get(image.reference, {}).get("key") != key(image)
        or push.served(port, image.repository, image.tag) != known[image.reference]["digest"]
    ]


def make(port: int, images: list[StandIn]) -> None:
    """Build these and write them to the registry, two at a time. Call it under the lock."""
    if not images:
        return
    apt.program("mmdebstrap")  # once, not by two builds at once
    for leftover in state.folder().glob("image-*"):  # of a build that was killed: the lock is ours
        shutil.rmtree(leftover)
    state.say(f"building stand-ins from Debian packages: {', '.join(image.reference for image in images)}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {pool.submit(_make, port, image): image for image in images}
        for done in as_completed(started):
            if done.exception() is None:
                image, digest = started[done], done.result()
                state.write("images", state.read("images") | {image.reference: {"key": key(image), "digest": digest}})
                state.say(f"{image.reference} is {digest}")
    for done in started:
        done.result()


def _make(port: int, image: StandIn) -> str:
    with TemporaryDirectory(dir=state.folder(), prefix="image-") as folder:
        place = Path(folder)
        extra = rootfs.overlay(_files(image), image.links, place / "extra")
        first = place / f"{rootfs.native()}.tar"
        made = []
        for arch in sorted(image.arches or (rootfs.native(),), key=lambda arch: arch != rootfs.native()):
            tar = place / f"{arch}.tar"
            rootfs.build(image.packages, tar, arch, image.suite)
            base, versions = rootfs.layer(tar, place / arch, None if tar == first else first)
            layers: tuple[push.Layer, ...] = (base, extra)
            if image.node:
                node, versions["node"] = npm.layer(arch, place / f"{arch}-node", rootfs.EPOCH)
                layers = (base, extra, node)
            made.append(push.Image(f"linux/{arch}", layers, _config(image, versions), _created()))
        return push.push(port, image.repository, image.tag, made)


def _created() -> str:
    return datetime.fromtimestamp(rootfs.EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _config(image: StandIn, versions: Mapping[str, str]) -> dict[str, Any]:
    version = versions.get(image.shows, "unknown")
    labels = {
        LABEL: "true",
        "org.opencontainers.image.title": f"stand-in for {image.reference}",
        "org.opencontainers.image.description": f"made of Debian {image.suite} packages: {image.shows} {version}",
        "org.opencontainers.image.version": version,
    }
    upstream = re.match(r"(?:\d+:)?([\d.]+)", version)
    told = {"{version}": upstream[1] if upstream else "", "{node}": versions.get("node", "")}
    env = [_filled(each, told) for each in image.config["Env"]]
    return {**image.config, "Env": env, "Labels": labels}


def _filled(text: str, told: Mapping[str, str]) -> str:
    for word, value in told.items():
        text = text.replace(word, value)
    return text

"""What Node's parts hand to one another, and where things stand in the image."""

from __future__ import annotations

import posixpath

import msgspec

from cdaf.projects.pins import Base

FOLDER = "/app"
MODULES = "node_modules"
_CPUS = {
    "amd64": "x64",
    "arm64": "arm64",
    "386": "ia32",
    "arm": "arm",
    "ppc64le": "ppc64",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loong64": "loong64",
}


class Target(msgspec.Struct, frozen=True):
    """An environment to fill; `smoke` is that of checks on a base of their own."""

    platform: str
    base: Base
    smoke: bool = False

    @property
    def cpu(self) -> str:
        """Node's own name of the processor (`process.arch`)."""
        machine = self.platform.split("/")[1]
        return _CPUS.get(machine, machine)

    @property
    def libc(self) -> str:
        """glibc, musl or nothing, as in a package's `libc`."""
        return self.base.facts.libc

    @property
    def node(self) -> str:
        """The exact version of Node there, empty when the base does not tell."""
        return self.base.facts.interpreter_version


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be laid out: an entry of the lock, and the platforms that it is laid out for.

    `path` is its key in the lock, `kind` how its bytes are had: from a `url` (the registry's own where it is empty), a
    `file` of the repository, a `git` commit, or a tracked `folder`. `hashes` are hex, by hashlib's name. `native` says
    that the package is for some platforms alone, `optional` that others get by without it. `main` are the platforms of
    images, `smoke` those of the checks.
    """

    path: str
    name: str
    version: str
    kind: str
    url: str = ""
    hashes: dict[str, str] = {}
    commit: str = ""
    folder: str = ""
    main: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()
    native: bool = False
    optional: bool = False
    requires: tuple[str, ...] = ()
    integrity: str = ""

    @property
    def label(self) -> str:
        """For people: name and version."""
        return f"{self.name} {self.version}".rstrip()

    @property
    def platforms(self) -> tuple[str, ...]:
        """All that need it."""
        return tuple(sorted({*self.main, *self.smoke}))

    @property
    def identity(self) -> str:
        """Whatever decides its bytes: two choices of one identity are one archive."""
        return "|".join((self.kind, self.name, self.version, self.integrity or self.url, self.commit, self.folder))


class Alias(msgspec.Struct, frozen=True):
    """A link of the tree: the lock's key, and the folder that it leads to, as the lock has it."""

    path: str
    target: str
    main: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()


class Places(msgspec.Struct, frozen=True):
    """Where the lock's paths stand in the image.

    `root` is the folder of the lock as seen from the repository's root, `service` the service's from the lock's
    (empty where they are the same). Where the lock lies above the service, what stands in its node_modules goes to
    /node_modules, for Node looks there from /app on.
    """

    root: str
    service: str

    @property
    def modules(self) -> str:
        """The topmost node_modules."""
        return f"{FOLDER}/{MODULES}" if not self.service else f"/{MODULES}"

    def of(self, path: str) -> str:
        """Where a path of the lock stands."""
        if path == self.service or path.startswith(f"{self.service}/" if self.service else MODULES + "/"):
            return posixpath.join(FOLDER, path[len(self.service) :].lstrip("/")).rstrip("/")
        if path == MODULES or path.startswith(f"{MODULES}/"):
            return f"{self.modules}{path[len(MODULES) :]}"
        if not self.service and not path.startswith("../"):
            return f"{FOLDER}/{path}"
        # A folder elsewhere: out of everybody's way, and below the modules that it may ask for.
        return f"{self.modules}/.linked/{posixpath.normpath(posixpath.join(self.root, path))}"


def short(path: str) -> str:
    """A path in the image as patterns name it: from the innermost top folder of modules on, else from /app."""
    for prefix in (f"{FOLDER}/{MODULES}/", f"/{MODULES}/", f"{FOLDER}/"):
        if path.startswith(prefix):
            return path[len(prefix) :]
    return path.lstrip("/")

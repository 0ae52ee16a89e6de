"""`cdaf.lock`: what native lockfiles don't pin, as values and as a file."""

import msgspec


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of `cdaf.lock`."""


class Facts(Table, frozen=True, kw_only=True):
    """What plans need to know of a base, read from its files, never by running it.

    `interpreter` and `interpreter_version` are the language's ("/usr/local/bin/python3.13", "3.13.5"), empty on a
    base without one; `libc` is glibc or musl, empty on scratch; `libraries` are the shared libraries' file names;
    `passwd` and `group` are the files' whole text.
    """

    interpreter: str = ""
    interpreter_version: str = ""
    libc: str = ""
    libc_version: str = ""
    libraries: tuple[str, ...] = ()
    passwd: str = ""
    group: str = ""


class Base(Table, frozen=True, kw_only=True):
    """One platform of a base image: the platform manifest's digest and the facts; `scratch` has an empty digest."""

    reference: str
    platform: str
    digest: str
    facts: Facts = Facts()


class Sidecar(Table, frozen=True, kw_only=True):
    """An image that runs beside the service, by the digest of its index or manifest."""

    reference: str
    digest: str


class Requirement(Table, frozen=True, kw_only=True):
    """A build requirement: one wheel by URL (without credentials) and hash."""

    name: str
    version: str
    url: str
    sha256: str


class Build(Table, frozen=True, kw_only=True):
    """The build requirements of one thing to be built, keyed by name ("orders") or name==version of an sdist."""

    key: str
    declared: tuple[str, ...]  # [build-system] requires as the source has them, so that staleness can be told
    requires: tuple[Requirement, ...] = ()


class Pins(Table, frozen=True, kw_only=True):
    """The whole of `cdaf.lock`."""

    format: int = 1
    bases: tuple[Base, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    builds: tuple[Build, ...] = ()

"""`cdaf.lock`: what native lockfiles don't pin, as values and as a file."""

import os
from pathlib import Path

import msgspec

from cdaf import atomic, toml, typed
from cdaf.errors import ProjectError

NAME = "cdaf.lock"
FORMAT = 1
_HEAD = "# Written by `cdaf lock`: what the native lockfiles do not pin. Commit it.\n"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of `cdaf.lock`."""


class Facts(Table, frozen=True, kw_only=True):
    """What plans need to know of a base, read from its files, never by running it.

    `interpreter` and `interpreter_version` are the language's ("/usr/local/bin/python3.13", "3.13.5"), empty on a
    base without one; `libc` is glibc or musl, empty on scratch; `libraries` are the shared libraries' file names;
    `symbols` the highest symbol versions of compilers' runtimes, as RPM writes them ("libgcc_s.so.1(GCC_14.0.0)");
    `passwd` and `group` are the files' whole text. `modules` are what the interpreter told of itself when it was
    asked, with versions ("ctype 8.4.28"), for languages whose packages need such, empty where it did not run.
    """

    interpreter: str = ""
    interpreter_version: str = ""
    libc: str = ""
    libc_version: str = ""
    libraries: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    passwd: str = ""
    group: str = ""
    modules: tuple[str, ...] = ()


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


class Archive(Table, frozen=True, kw_only=True):
    """An archive that the native lock names without a hash; `hash` has its algorithm, and says how it was taken."""

    name: str
    version: str
    hash: str


class Pins(Table, frozen=True, kw_only=True):
    """The whole of `cdaf.lock`."""

    format: int = 1
    bases: tuple[Base, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    builds: tuple[Build, ...] = ()
    archives: tuple[Archive, ...] = ()


def read(file: Path) -> Pins | None:
    """What `cdaf.lock` says, None when there is none. Raises ProjectError when it is damaged or of another format."""
    try:
        parsed = toml.decode(file.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{NAME}: {error}", "restore it from git, or run `cdaf lock`") from error
    if parsed.get("format") != FORMAT:
        raise ProjectError(
            f"{NAME}: format {parsed.get('format')!r}, and this cdaf reads format {FORMAT}", "run `cdaf lock`"
        )
    try:
        return typed.convert(parsed, Pins)
    except msgspec.ValidationError as error:
        raise ProjectError(f"{NAME}: {error}", "restore it from git, or run `cdaf lock`") from error


def encode(pins: Pins) -> bytes:
    """The file's bytes, the same for the same pins."""
    import tomli_w

    content = msgspec.to_builtins(pins, str_keys=True)
    return (_HEAD + tomli_w.dumps({"format": FORMAT, **content}, multiline_strings=True)).encode()


def write(pins: Pins, file: Path) -> None:
    """Write `cdaf.lock` by a rename, so that it is whole or not there."""
    with atomic.writing(file) as handle:
        os.write(handle, encode(pins))


def base(pins: Pins, wanted: str, platform: str) -> Base:
    """The pin of a base on a platform. Raises ProjectError when the lock lacks it."""
    for found in pins.bases:
        if (found.reference, found.platform) == (wanted, platform):
            return found
    raise ProjectError(f"{NAME} does not pin {wanted} for {platform}", "run `cdaf lock`, and commit the file")

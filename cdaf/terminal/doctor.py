"""What this machine has of the things cdaf works with, what is missing, and how to mend it; nothing is changed."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from cdaf import places, process
from cdaf.errors import CdafError, EngineError, ProjectError, ResolveError, UsageError
from cdaf.registries import credentials
from cdaf.terminal import units

ROOM = 2_000_000_000  # bytes; a cache on less is likely to run full with the first large service
_UNITS = "for `smoke`, `up`, `release`, and to `package` what must be built"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: `code` is the exit code that its lack would end a command with, 0 when none would."""

    name: str
    state: Literal["ok", "missing", "problem", "unset"]
    found: str
    mend: str = ""
    code: int = 0


def examine() -> list[Finding]:
    """Everything, in the order in which a first user needs it. A thing that cannot be asked is itself a finding."""
    return [finding for look in (_python, _cache, _git, _uv, _engine, _access) for finding in look()]


def lack(found: list[Finding]) -> CdafError | None:
    """The error that the first thing which is needed and not right would end in; None when all is well."""
    first = next((each for each in found if each.code), None)
    if first is None:
        return None
    error = CdafError(f"{first.name}: {first.found or first.state}", first.mend)
    error.exit_code = first.code
    return error


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _cache() -> Iterator[Finding]:
    place = places.cache()
    try:
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield Finding("cache", "problem", f"{place}: {error.strerror}", places.HINT, UsageError.exit_code)
        return
    if not os.access(place, os.W_OK):
        yield Finding("cache", "problem", f"{place}: cannot be written to", places.HINT, UsageError.exit_code)
    elif free < ROOM:
        yield Finding("cache", "problem", f"{place}: {units.size(free)} free", "free some space", 0)
    else:
        yield Finding("cache", "ok", f"{place}, {units.size(free)} free")


def _git() -> Iterator[Finding]:
    yield _program("git", ["git", "--version"], "install git", ProjectError.exit_code)


def _uv() -> Iterator[Finding]:
    import uv

    try:
        yield _program("uv", [uv.find_uv_bin(), "--version"], "reinstall cdaf", ResolveError.exit_code)
    except FileNotFoundError:
        yield Finding("uv", "missing", "", "reinstall cdaf, which brings it", ResolveError.exit_code)


def _program(name: str, argv: list[str], mend: str, code: int) -> Finding:
    try:
        told = process.run(argv, timeout=10)
    except CdafError as error:
        return Finding(name, "missing", error.message, mend, code)
    words = told.stdout.decode(errors="replace").strip()
    version = words.removeprefix(f"{name} ").removeprefix("version ").split("\n")[0]
    return Finding(name, "problem", version, mend, code) if told.code else Finding(name, "ok", version)


def _engine() -> Iterator[Finding]:
    from cdaf import engine

    try:
        facts = engine.facts()
    except CdafError as error:
        yield Finding(
            "engine", "missing", error.message, f"{error.hint.partition(';')[0]} ({_UNITS})", EngineError.exit_code
        )
        return
    yield Finding("engine", "ok", f"{facts.version} at {facts.endpoint}, {facts.store}")
    yield Finding("docker", "ok", facts.client)
    yield Finding("compose", "ok", facts.compose)
    yield _check("buildx", facts.buildx, lambda: engine.demand_buildx(facts))
    runs = [facts.native, *(f"{platform} (emulated)" for platform in facts.emulated)]
    yield Finding("platforms", "ok", ", ".join(runs))
    yield Finding("mirrors", "ok" if facts.mirrors else "unset", ", ".join(facts.mirrors))


def _check(name: str, found: str, demand: Callable[[], None]) -> Finding:
    try:
        demand()
    except CdafError as error:
        return Finding(name, "problem", error.message, error.hint, error.exit_code)
    return Finding(name, "ok", found)


def _access() -> Iterator[Finding]:
    """Logins by name, never a secret; having none is right wherever nothing asks for one."""
    known = credentials.known_registries()
    yield Finding("registry logins", "ok" if known else "unset", ", ".join(known), "" if known else "docker login")
    yield _variables("registry login from CI", ("CDAF_REGISTRY_USERNAME", "CDAF_REGISTRY_PASSWORD"))
    netrc = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    yield Finding("netrc", "ok" if netrc.is_file() else "unset", str(netrc) if netrc.is_file() else "")
    yield _variables("index logins", tuple(name for name in sorted(os.environ) if name.startswith("UV_INDEX_")))
    yield _variables(
        "proxies", tuple(name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if name in os.environ)
    )
    yield _variables("certificates", ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))


def _variables(name: str, variables: tuple[str, ...]) -> Finding:
    """Which of the variables are set; never what to."""
    found = [variable for variable in variables if os.environ.get(variable)]
    return Finding(name, "ok" if found else "unset", ", ".join(found))

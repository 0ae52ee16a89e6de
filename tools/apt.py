"""Debian packages, also those of a neighbouring release, without a change to the machine's own apt configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import state
from tools.state import ToolError

ETC = Path("/etc/apt")
POLICY = Path("/usr/sbin/policy-rc.d")
LOW = 100  # apt's priority for "installed": such a source is used only for what is asked from it by name
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True, slots=True)
class Source:
    """One apt source: where, which suites, which components, and what it is signed by (empty: apt's trusted keys)."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self, suite: str) -> str:
        """The one-line form (sources.list(5)) for one suite."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return "\n".join(f"deb {options}{uri} {suite} {' '.join(self.components)}" for uri in self.uris)


def release() -> str:
    """The code name of this machine's Debian release, such as `bookworm`."""
    text = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    name = facts.get("VERSION_CODENAME", "").strip('"')
    if facts.get("ID", "").strip('"') != "debian" or not name:
        raise ToolError(
            "this machine is not Debian, so its packages can't be used to build one up",
            "install uv and a Docker engine with buildx and compose v2 yourself",
        )
    return name


def sources(etc: Path = ETC) -> list[Source]:
    """Every enabled binary source of the machine, from both forms that apt knows."""
    found: list[Source] = []
    for path in sorted([etc / "sources.list", *(etc / "sources.list.d").glob("*")]):
        if path.suffix == ".list" and path.is_file():
            found += filter(None, map(_one_line, path.read_text().splitlines()))
        elif path.suffix == ".sources" and path.is_file():
            found += filter(None, map(_deb822, re.split(r"\n\s*\n", path.read_text())))
    return found


def _one_line(line: str) -> Source | None:
    match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
    if not match:
        return None
    options = dict(part.split("=", 1) for part in (match[1] or "").split() if "=" in part)
    return Source((match[2],), (match[3],), tuple(match[4].split()), options.get("signed-by", ""))


def _deb822(stanza: str) -> Source | None:
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[key] = fields.get(key, "") + "\n" + line
        elif ":" in line:
            key, value = line.split(":", 1)
            key = key.strip().lower()
            fields[key] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return None
    signed = fields.get("signed-by", "")
    return Source(
        tuple(fields.get("uris", "").split()),
        tuple(fields.get("suites", "").split()),
        tuple(fields.get("components", "").split()),
        "" if "BEGIN PGP" in signed else signed.strip(),
    )


def neighbour(name: str, known: Iterable[Source] | None = None, here: str | None = None) -> list[tuple[Source, str]]:
    """Where release `name` of Debian is to be had, as (source, suite), worked out from the machine's own sources.

    The archive of a release lies at the same address as that of its neighbours; `-security` likewise.
    """
    here = here or release()
    found: list[tuple[Source, str]] = []
    for source in sources() if known is None else known:
        if here in source.suites or any(suite.partition("-")[0] == here for suite in source.suites):
            for suite in source.suites:
                if suite in {here, f"{here}-security"}:
                    main = Source(source.uris, (suite,), ("main",), source.signed_by)
                    found.append((main, suite.replace(here, name, 1)))
    # unreleased suites have no security archive of their own
    found = [(source, suite) for source, suite in found if not (name in UNRELEASED and suite.endswith("-security"))]
    if not any(suite == name for _, suite in found):
        raise ToolError(
            f"no apt source of this machine names the suite {here}, so none can be derived for {name}",
            f"add a Debian source for {here} below {ETC}",
        )
    return found


UNRELEASED = frozenset({"forky", "testing", "sid", "unstable"})


def lines(name: str) -> list[str]:
    """`neighbour` in the one-line form."""
    return [source.line(suite) for source, suite in neighbour(name)]


def _options(name: str) -> list[str]:
    """Options that give apt a second release, pinned low, for one call: own sources, preferences and lists."""
    home = state.folder() / "apt" / name
    for part in ("sources", "preferences", "lists/partial"):
        (home / part).mkdir(parents=True, exist_ok=True)
    own = [source.line(suite) for source in sources() for suite in source.suites]
    (home / "sources" / "all.list").write_text("\n".join(dict.fromkeys([*own, *lines(name)])) + "\n")
    pins = "".join(path.read_text() + "\n\n" for path in sorted((ETC / "preferences.d").glob("*")) if path.is_file())
    low = f"Package: *\nPin: release n={name}*\nPin-Priority: {LOW}\n"
    (home / "preferences" / "all").write_text(pins + low)
    return [
        *("-o", "Dir::Etc::SourceList=/dev/null"),
        *("-o", f"Dir::Etc::SourceParts={home / 'sources'}"),
        *("-o", f"Dir::Etc::PreferencesParts={home / 'preferences'}"),
        *("-o", f"Dir::State::Lists={home / 'lists'}"),
        *("-o", f"Dir::Cache::pkgcache={home / 'pkgcache.bin'}"),
        *("-o", f"Dir::Cache::srcpkgcache={home / 'srcpkgcache.bin'}"),
    ]


def installed(*packages: str) -> bool:
    """Whether every one of these packages is installed."""
    out = state.answers(["dpkg-query", "-W", "-f", "${db:Status-Status}\n", *packages])
    return out is not None and out.split() == ["installed"] * len(packages)


def install(packages: Sequence[str], origin: str | None = None) -> None:
    """Install packages, `origin` naming the release to take them from when it is not the machine's own.

    Their services are not started: whoever needs a server starts one of their own, and stops it.
    """
    if os.geteuid():
        raise ToolError(f"can't install {', '.join(packages)}: not root", "run as root, or install them yourself")
    if not state.program("apt-get"):
        raise ToolError(f"can't install {', '.join(packages)}: this machine has no apt-get", "install them yourself")
    options = _options(origin) if origin and origin != release() else []
    names = [f"{name}/{origin}" if options else name for name in packages]
    why = f"install {', '.join(packages)}"
    with state.locked("apt"):
        _apt(["update", "-q"], options, "read the package lists")
        with _no_services():
            _apt(["install", "-y", "-q", "--no-install-recommends", "--no-upgrade", *names], options, why)


def _apt(command: list[str], options: list[str], why: str) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    waits = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    state.run(["apt-get", *waits, *options, *command], why, env, "read apt's own message above")


@contextmanager
def _no_services() -> Iterator[None]:
    """Forbid maintainer scripts to start services (policy-rc.d of invoke-rc.d(8)), unless the machine has a policy."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def program(name: str, origin: str | None = None) -> str:
    """A program of this machine, installed from the package of the same name if it is missing."""
    if found := state.program(name):
        return found
    state.say(f"installing {name} from Debian")
    install([name], origin)
    if found := state.program(name):
        return found
    raise ToolError(f"{name} is installed, but there is no such program on PATH")


def candidate(package: str) -> str | None:
    """The version that the machine's own sources offer, if any."""
    out = state.answers(["apt-cache", "policy", package], os.environ | {"LC_ALL": "C"}) or ""
    match = re.search(r"Candidate: (\S+)", out)
    return None if match is None or match[1] == "(none)" else match[1]

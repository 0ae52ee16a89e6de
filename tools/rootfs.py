"""Root file systems from Debian's packages, turned into image layers."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import apt, push, state

SUITE = "trixie"
EPOCH = 1754697600  # 2025-08-09, the day of Debian 13: any fixed time serves
UNWANTED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
    "/usr/lib/*/libLLVM*",  # 130 MB for a compiler of queries that no test needs
)
# what differs from one making to the next, or from machine to machine: names, keys, times inside of bytecode
_DROPPED = re.compile(
    r"^(dev/.*|var/lib/mysql/.+|etc/ssl/private/.+|usr/share/python3/.*__pycache__.*|var/lib/rabbitmq/\.erlang\.cookie)$"
)
_DROPPED_FILES = re.compile(
    r"^(etc/(hostname|resolv\.conf|machine-id)|etc/apt/sources\.list.*|etc/.*/99mmdebstrap"
    r"|var/(log|cache/debconf|cache/apt|lib/apt)/.+)$"
)
_KEY_OF_THE_MACHINE = "ssl-cert-snakeoil.pem"


def build(packages: Sequence[str], into: Path, arch: str, suite: str = SUITE) -> None:
    """Write the tar of a Debian system that holds these packages.

    A foreign architecture is only unpacked: no package script runs, and no emulator is needed.
    """
    program = apt.program("mmdebstrap")
    own = arch == native()
    wanted = [*packages] if own else ["?essential", *packages]
    state.run(
        [
            program,
            f"--variant={'minbase' if own else 'extract'}",
            f"--architectures={arch}",
            *(f"--include={name}" for name in wanted),
            "--aptopt=Acquire::Retries 3",
            *_machine_options(),
            *(f"--dpkgopt=path-exclude={path}" for path in UNWANTED),
            "--dpkgopt=force-unsafe-io",
            # no database of the build's own: the entry script makes one
            '--essential-hook=mkdir -p "$1/etc/postgresql-common"; '
            'echo create_main_cluster=false >"$1/etc/postgresql-common/createcluster.conf"',
            suite,
            str(into),
            *apt.lines(suite),
        ],
        f"make a root file system of {suite} for {arch}",
        os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"},
    )


def native() -> str:
    """Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _machine_options() -> list[str]:
    """How the machine's apt reaches its sources (proxies, certificates, dates); mmdebstrap does not read it."""
    said = state.answers(["apt-config", "dump", "Acquire"]) or ""
    wanted = r'^(Acquire::(?:https?::|Check-)\S* "[^"]+");'
    return [f"--aptopt={line}" for line in re.findall(wanted, said, re.MULTILINE)]


def layer(source: Path, into: Path, borrow: Path | None = None) -> tuple[push.Layer, dict[str, str]]:
    """Turn the tar of a root file system into a layer; also the versions of its packages.

    `borrow` is the tar of the same system whose packages were configured: what their scripts wrote to /etc (users,
    certificates, alternatives) is taken from there.
    """
    versions: dict[str, str] = {}
    with tarfile.open(source) as tar, push.layer_tar(into) as (out, made):
        names: set[str] = set()
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if _plain(member):
                names.add(member.name)
                if member.name == "var/lib/dpkg/status" and content:
                    data = content.read()
                    versions = _versions(data.decode())
                    content = io.BytesIO(data)
                out.addfile(member, content)
        if borrow:
            _borrow(out, borrow, names)
    return made[0], versions


def _plain(member: tarfile.TarInfo) -> bool:
    """Bring a member to the form of public images' layers; False when it does not belong in one."""
    member.name = member.name.removeprefix("./").strip("/")
    member.uname = member.gname = ""
    member.mtime = min(int(member.mtime), EPOCH)
    member.pax_headers = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr")}
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    if _DROPPED.match(member.name) or (not member.isdir() and _DROPPED_FILES.match(member.name)):
        return False
    return member.name not in {"", "."} and _KEY_OF_THE_MACHINE not in {Path(member.name).name, member.linkname}


def _borrow(out: tarfile.TarFile, source: Path, names: set[str]) -> None:
    with tarfile.open(source) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            fits = _plain(member) and re.match(r"(etc|root|home)(/|$)", member.name)
            if fits and member.name not in names and member.name != "etc/ld.so.cache":
                out.addfile(member, content)


def _versions(status: str) -> dict[str, str]:
    stanzas = (dict(re.findall(r"^(Package|Version): (.*)$", part, re.MULTILINE)) for part in status.split("\n\n"))
    return {found["Package"]: found["Version"] for found in stanzas if len(found) == 2}


def overlay(files: Mapping[str, bytes], links: Mapping[str, str], into: Path) -> push.Layer:
    """A layer of a few files (those with a `#!` are executable) and symbolic links, by absolute path."""
    with push.layer_tar(into) as (out, made):
        for name in sorted({*files, *links, *_parents([*files, *links])}):
            member = tarfile.TarInfo(name)
            member.mtime = EPOCH
            content = files.get(name)
            if content is not None:
                member.size, member.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
            elif name in links:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, links[name], 0o777
            else:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            out.addfile(member, io.BytesIO(content) if content is not None else None)
    return made[0]


def _parents(names: Sequence[str]) -> set[str]:
    return {str(parent) for name in names for parent in Path(name).parents if str(parent) != "."}

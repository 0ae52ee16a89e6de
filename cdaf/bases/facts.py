"""What plans need to know of a base, read from its files: interpreter, libc, libraries, users. Nothing is run.

So a base of any platform can be read on any machine.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cdaf import progress
from cdaf.bases import audit, elf, rootfs, versions
from cdaf.bases.rootfs import Blob, Node
from cdaf.images import parse as oci_parse
from cdaf.projects.pins import Base, Facts, Sidecar
from cdaf.registries import registry
from cdaf.registries.reference import at, parse

SCRATCH = "scratch"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBRARY = re.compile(r"(?:lib|ld-)[^/]*\.so\.[0-9.]+")
# Read on the way through the layers, so that they are inflated once; what is missing here is found all the same.
_READ = re.compile(
    r"(?:^|/)(?:etc/(?:passwd|group)|dpkg/(?:status|status\.d/[^/]+)|apk/db/installed|libc\.so\.6|libc-[0-9.]+\.so"
    r"|ld-musl-[^/]+\.so\.1|python3[0-9.]*|libpython3[0-9.]+\.so\.1\.0|patchlevel\.h"
    r"|lib(?:stdc\+\+|gcc_s|gomp|atomic|z)\.so\.[0-9.]+)$"
)
# What wheels may take from the system by the manylinux policies, and has versions of its own beside glibc.
_RUNTIMES = ("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libatomic.so.1", "libz.so.1")
_TEXTS = {
    "passwd": ("/etc/passwd",),
    "group": ("/etc/group",),
    "dpkg": ("/var/lib/dpkg/status",),
    "apk": ("/lib/apk/db/installed", "/usr/lib/apk/db/installed"),
}
_TRIPLES = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "386": "i386-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
}


def read_base(reference: str, platform: str, interpreter: str) -> Base:
    """One platform of a base image: its manifest's digest now, and its facts.

    `interpreter` is a program's name, such as `python3`. `scratch` is the base without anything. Raises ResolveError.
    """
    if reference == SCRATCH:
        return Base(reference=reference, platform=platform, digest="")
    named = parse(reference)
    chosen = registry.resolve(named, platform)
    pinned = at(named, chosen.digest)
    config, layers = oci_parse.manifest(registry.manifest_by_digest(pinned), str(pinned))
    progress.note(f"reading {reference} for {platform}")
    settings = oci_parse.config(registry.blob(pinned, config).read_bytes(), f"the config of {pinned}")
    paths = registry.blobs(pinned, layers)
    blobs = [Blob(path, layer.media_type) for path, layer in zip(paths, layers, strict=True)]
    found = gather(blobs, _environment(settings), platform, interpreter, f"{reference} ({platform})")
    return Base(reference=reference, platform=platform, digest=chosen.digest, facts=found)


def sidecar(reference: str) -> Sidecar:
    """An image that runs beside the service, by the digest of its index, or of its manifest where it has no index."""
    return Sidecar(reference=reference, digest=registry.manifest(parse(reference))[1].digest)


def gather(blobs: Sequence[Blob], environment: Mapping[str, str], platform: str, interpreter: str, name: str) -> Facts:
    """The facts of the file system that layers make; `environment` is the image's, `name` is for messages."""
    root = rootfs.tree(blobs, _READ)
    folders = _library_folders(root, platform)
    program = _program(root, environment.get("PATH", _PATH), interpreter)
    files = {key: node for key, paths in _TEXTS.items() if (node := _file(root, *paths))}
    files |= {
        f"dpkg/{key}": node
        for key, node in rootfs.listing(root, "/var/lib/dpkg/status.d").items()
        if node.kind == "file"
    }
    files |= versions.libc_files(root, folders)
    files |= _runtimes(root, folders)
    files |= versions.interpreter_files(root, program, folders) if program else {}
    read = rootfs.contents(blobs, files)
    libc, libc_version = versions.libc(read, name)
    return Facts(
        interpreter=program or "",
        interpreter_version=versions.interpreter(read, program, environment, name) if program else "",
        libc=libc,
        libc_version=libc_version,
        libraries=_libraries(root, folders),
        symbols=_symbols(read),
        passwd=_text(read, "passwd"),
        group=_text(read, "group"),
    )


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    listed = (config.get("config") or {}).get("Env") or []
    return {key: value for key, _, value in (str(each).partition("=") for each in listed)}


def _file(root: Node, *paths: str) -> Node | None:
    found = (rootfs.find(root, path) for path in paths)
    return next((each[1] for each in found if each and each[1].kind == "file"), None)


def _text(read: Mapping[str, bytes], key: str) -> str:
    return read.get(key, b"").decode(errors="replace")


def _program(root: Node, path: str, name: str) -> str | None:
    """The real file behind a program's name, as PATH finds it."""
    for folder in path.split(":"):
        found = rootfs.find(root, rootfs.join("/", folder, name))
        if found and found[1].kind == "file" and found[1].executable:
            return found[0]
    return None


def _library_folders(root: Node, platform: str) -> tuple[str, ...]:
    """The real paths of the folders that the dynamic linker searches by itself, each once."""
    triple = _TRIPLES.get(platform.split("/")[1], "")
    names = [
        f"{prefix}/{folder}"
        for prefix in ("", "/usr", "/usr/local")
        for folder in ("lib", "lib64", *([f"lib/{triple}"] if triple else []))
    ]
    found = (rootfs.find(root, name) for name in names)
    return tuple({each[0]: None for each in found if each and each[1].kind == "dir"})


def _libraries(root: Node, folders: Sequence[str]) -> tuple[str, ...]:
    """The sonames there: a library's real file is left out where a link in the same folder has its soname."""
    names: set[str] = set()
    for folder in folders:
        here = {key: node for key, node in rootfs.listing(root, folder).items() if _LIBRARY.fullmatch(key)}
        behind = {node.target for node in here.values() if node.kind == "link"}
        names |= {key for key in here if key not in behind and rootfs.find(root, f"{folder}/{key}")}
    return tuple(sorted(names))


def _runtimes(root: Node, folders: Sequence[str]) -> dict[str, Node]:
    found = {name: _file(root, *(f"{folder}/{name}" for folder in folders)) for name in _RUNTIMES}
    return {f"runtime/{name}": node for name, node in found.items() if node}


def _symbols(read: Mapping[str, bytes]) -> tuple[str, ...]:
    found = {name: elf.of_bytes(read.get(f"runtime/{name}", b"")) for name in _RUNTIMES}
    return tuple(
        f"{name}({version})" for name, each in sorted(found.items()) if each for version in audit.newest(each.defined)
    )

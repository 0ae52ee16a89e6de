"""The exact versions of a base's interpreter and libc: from the binaries themselves, headers and package databases."""

import re
from collections.abc import Iterator, Mapping, Sequence

from cdaf.bases import rootfs
from cdaf.bases.rootfs import Node
from cdaf.errors import ResolveError

_GLIBC = re.compile(rb"GNU C Library [^\n]{0,80}release version (\d+\.\d+)")
_MUSL = re.compile(rb"\0(1\.\d+\.\d+)\0")
_HEADER = re.compile(r'#define\s+PY_VERSION\s+"([^"]+)"')
_PYTHON = re.compile(r"/python(\d+\.\d+)[a-z]*$")
_MUSL_LINKER = re.compile(r"ld-musl-[^/]+\.so\.1")


def libc_files(root: Node, folders: Sequence[str]) -> dict[str, Node]:
    """The files that tell which libc this is."""
    found: dict[str, Node] = {}
    for folder in folders:
        for name in rootfs.listing(root, folder):
            key = "glibc" if name == "libc.so.6" else "musl" if _MUSL_LINKER.fullmatch(name) else ""
            real = rootfs.find(root, f"{folder}/{name}") if key else None
            if real and real[1].kind == "file":
                found.setdefault(key, real[1])
    return found


def interpreter_files(root: Node, program: str, folders: Sequence[str]) -> dict[str, Node]:
    """The files that tell an interpreter's version: itself, its library and its header."""
    here = rootfs.find(root, program)
    found = {"program": here[1]} if here else {}
    minor = _PYTHON.search(program)
    if not minor:
        return found
    prefix = rootfs.join(program, "../..")
    paths = {"header": [f"{prefix}/include/python{minor[1]}{flags}/patchlevel.h" for flags in ("", "t", "d")]}
    paths["library"] = [f"{folder}/libpython{minor[1]}.so.1.0" for folder in (f"{prefix}/lib", *folders)]
    for key, names in paths.items():
        real = next(filter(None, (rootfs.find(root, name) for name in names)), None)
        if real and real[1].kind == "file":
            found[key] = real[1]
    return found


def libc(read: Mapping[str, bytes], name: str) -> tuple[str, str]:
    """Flavour and version of the libc; both empty where there is none. Raises ResolveError when it cannot be told."""
    glibc = _GLIBC.search(read.get("glibc", b""))
    if glibc and b"ld-musl-" not in read.get("program", b""):
        return "glibc", glibc[1].decode()
    if "musl" in read:
        packaged = dict(_apk(read)).get("musl", "").partition("-")[0]
        banner = _MUSL.search(read["musl"])
        version = packaged or (banner[1].decode() if banner else "")
        if version:
            return "musl", version
    if "glibc" in read or "musl" in read:
        raise ResolveError(f"the version of {name}'s libc cannot be told from its files", "choose another base")
    return "", ""


def interpreter(read: Mapping[str, bytes], program: str, environment: Mapping[str, str], name: str) -> str:
    """The exact version of the interpreter. Raises ResolveError when it cannot be told, or the files contradict."""
    minor = _PYTHON.search(program)
    if not minor:
        return _other(read, program, environment)
    told = {what: version for what, version in _python(read, program, minor[1]) if version}
    if len(set(told.values())) > 1:
        each = ", ".join(f"{what} {version}" for what, version in told.items())
        raise ResolveError(f"the files of {name} contradict each other on {program}: {each}", "choose another base")
    version = next(iter(told.values()), "") or environment.get("PYTHON_VERSION", "")
    if not version.startswith(f"{minor[1]}."):
        raise ResolveError(f"the exact version of {program} in {name} cannot be told", "choose another base")
    return version


def _other(read: Mapping[str, bytes], program: str, environment: Mapping[str, str]) -> str:
    """Official images tell by their environment; elsewhere the distribution knows, whose programs bear versions."""
    called = program.rpartition("/")[2]
    name = re.sub(r"[^A-Za-z].*", "", called)
    told = environment.get(f"{name.upper()}_VERSION", "")
    if told or not program.startswith("/usr/bin/"):
        return told
    packages, others = dict(_dpkg(read)), dict(_apk(read))
    names = (called, f"{called}-cli", f"{name}js")
    debian = next((_upstream(packages[each]) for each in names if each in packages), "")
    return debian or next((others[each].rpartition("-r")[0] for each in (*names, name) if each in others), "")


def _python(read: Mapping[str, bytes], program: str, minor: str) -> Iterator[tuple[str, str]]:
    """What each witness says; the distribution's package database speaks of its own interpreter alone."""
    own = re.compile(rb"\0(" + re.escape(minor).encode() + rb"\.\d+(?:(?:a|b|rc)\d+)?\+?)\0")
    for key in ("program", "library"):
        versions = {found.decode() for found in own.findall(read.get(key, b""))}
        yield key, versions.pop() if len(versions) == 1 else ""
    header = _HEADER.search(read.get("header", b"").decode(errors="replace"))
    yield "header", header[1] if header else ""
    if program.startswith("/usr/bin/"):
        packages = dict(_dpkg(read))
        names = (f"python{minor}-minimal", f"libpython{minor}-minimal", f"libpython{minor}-stdlib", f"python{minor}")
        yield "dpkg", next((_upstream(packages[each]) for each in names if each in packages), "")
        yield "apk", dict(_apk(read)).get("python3", "").rpartition("-r")[0].replace("_", "")


def _upstream(version: str) -> str:
    """Debian's `1:3.13.0~rc1-2+b1` without epoch, revision and tilde (deb-version(7))."""
    upstream = version.rpartition(":")[2]
    return (upstream.rpartition("-")[0] or upstream).replace("~", "").partition("+")[0]


def _dpkg(read: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Installed packages and versions, of `status` and of distroless images' `status.d`."""
    for key in sorted(key for key in read if key == "dpkg" or key.startswith("dpkg/")):
        for stanza in read[key].decode(errors="replace").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
            if fields.get("Status", "install ok installed").endswith(" installed") and "Version" in fields:
                yield fields.get("Package", ""), fields["Version"]


def _apk(read: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Installed packages and versions of Alpine's database."""
    for stanza in read.get("apk", b"").decode(errors="replace").split("\n\n"):
        fields = dict(line.split(":", 1) for line in stanza.splitlines() if line[1:2] == ":")
        yield fields.get("P", ""), fields.get("V", "")

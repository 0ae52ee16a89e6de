"""A target platform as `packaging` sees it: marker environment and wheel tags, from the base's facts alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from cdaf.errors import ResolveError
from cdaf.projects.pins import Facts

if TYPE_CHECKING:
    from packaging.markers import Environment
    from packaging.tags import Tag

# `uname -m` for the architectures of the OCI image index (GOARCH, with the variant).
MACHINES = {
    "amd64": "x86_64",
    "386": "i686",
    "arm64": "aarch64",
    "arm64/v8": "aarch64",
    "arm/v7": "armv7l",
    "arm/v6": "armv6l",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loong64": "loongarch64",
}

# The manylinux names before PEP 600, by the glibc they stand for, and how far down each architecture goes.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}


def machine(platform: str) -> str:
    """`platform_machine` of a platform such as `linux/arm64`. Raises ResolveError for an unknown one."""
    system, _, architecture = platform.partition("/")
    if system != "linux" or architecture not in MACHINES:
        known = ", ".join(f"linux/{name}" for name in MACHINES)
        raise ResolveError(f"{platform}: no such platform for Python", f"use one of {known}")
    return MACHINES[architecture]


def minor(facts: Facts) -> tuple[int, int]:
    """The interpreter's feature version: (3, 13) of "3.13.5"."""
    major, feature = facts.interpreter_version.split(".")[:2]
    return int(major), int(feature)


def markers(facts: Facts, platform: str) -> Environment:
    """The marker environment (PEP 508) of CPython on this base."""
    major, feature = minor(facts)
    return {
        "implementation_name": "cpython",
        "implementation_version": facts.interpreter_version,
        "os_name": "posix",
        "platform_machine": machine(platform),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": facts.interpreter_version,
        "python_version": f"{major}.{feature}",
        "sys_platform": "linux",
    }


@lru_cache(maxsize=16)
def tags(facts: Facts, platform: str) -> tuple[Tag, ...]:
    """The wheel tags that this base can use, best first."""
    from packaging.tags import compatible_tags, cpython_tags

    version = minor(facts)
    interpreter = f"cp{version[0]}{version[1]}"
    platforms = list(platform_tags(facts, platform))
    return (
        *cpython_tags(version, abis=[interpreter], platforms=platforms),
        *compatible_tags(version, interpreter=interpreter, platforms=platforms),
    )


def platform_tags(facts: Facts, platform: str) -> Iterator[str]:
    """Platform tags, newest libc first (PEP 600 for glibc, PEP 656 for musl)."""
    name = machine(platform)
    yield f"linux_{name}"
    if facts.libc == "glibc":
        for version in range(_libc_minor(facts, 2), _OLDEST_GLIBC.get(name, 17) - 1, -1):
            yield f"manylinux_2_{version}_{name}"
            if version in _LEGACY:
                yield f"{_LEGACY[version]}_{name}"
    elif facts.libc == "musl":
        for version in range(_libc_minor(facts, 1), -1, -1):
            yield f"musllinux_1_{version}_{name}"


def _libc_minor(facts: Facts, major: int) -> int:
    found = facts.libc_version.split(".")
    if found[0] != str(major) or len(found) < 2:
        raise ResolveError(
            f"{facts.libc} {facts.libc_version}: a version that wheels have no tags for", "change image.base"
        )
    return int(found[1])

"""The successive states of a uv.lock in a git repository: the packages that an image would hold, and their sizes."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdaf.languages._python import environment
from cdaf.projects.pins import Facts

# The marker environment (PEP 508) of the image: CPython 3.13 on Linux and amd64.
ENVIRONMENT: dict[str, Any] = {**environment.markers(Facts(interpreter_version="3.13.5"), "linux/amd64"), "extra": ""}
# Older ones stand in where a project was not yet built for this Python: it is sizes that count.
INTERPRETERS = ("cp313", "cp312", "cp311", "cp310", "abi3", "py3")
LOCAL = {"editable", "virtual", "directory"}
Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a lock: the archive's hash says whether it is another one; its size is in bytes."""

    name: str
    identity: str
    size: int


Lock = tuple[Package, ...]


def history(repository: Path, path: str) -> list[Lock]:
    """The states of a lockfile on the main line, oldest first; only those that change what an image would hold."""
    found: list[Lock] = []
    for lock in _states(repository, path):
        if lock and (not found or found[-1] != lock):
            found.append(lock)
    return found


def _states(repository: Path, path: str) -> Iterator[Lock]:
    log = _git(repository, "log", "--first-parent", "--reverse", "--format=%H", "--", path)
    for commit in log.decode().split():
        try:
            yield select(tomllib.loads(_git(repository, "show", f"{commit}:{path}").decode()))
        except (subprocess.CalledProcessError, ValueError):
            continue  # deleted there, or left with the marks of a conflict


def _git(repository: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True).stdout


def select(lock: Table) -> Lock:
    """What the local projects of a lock need, without dependency groups; packages whose size it lacks are left out."""
    packages: dict[str, list[Table]] = {}
    for each in lock.get("package", ()):
        packages.setdefault(each["name"], []).append(each)
    local = [each for found in packages.values() for each in found if _is_local(each)]
    waiting = [wanted for each in local for wanted in each.get("dependencies", ())]
    seen: set[tuple[str, str]] = set()
    chosen: dict[str, Package] = {}
    while waiting:
        wanted = waiting.pop()
        package = _named(packages, wanted) if _applies(wanted) else None
        if package is None:
            continue
        for extra in {"", *wanted.get("extra", ())} - {extra for name, extra in seen if name == package["name"]}:
            seen.add((package["name"], extra))
            waiting += package.get("optional-dependencies", {}).get(extra, package.get("dependencies", ()))
        if not _is_local(package) and (archive := _archive(package)):
            chosen[package["name"]] = Package(package["name"], archive["hash"], archive["size"])
    return tuple(chosen[name] for name in sorted(chosen))


def _is_local(package: Table) -> bool:
    return bool(LOCAL & set(package.get("source", {})))


def _applies(wanted: Table) -> bool:
    from packaging.markers import Marker

    return "marker" not in wanted or Marker(wanted["marker"]).evaluate(ENVIRONMENT)


def _named(packages: Mapping[str, Sequence[Table]], wanted: Table) -> Table | None:
    """The package that a dependency names, by its version where the lock has several."""
    found = packages.get(wanted["name"], ())
    return next((each for each in found if wanted.get("version", each.get("version")) == each.get("version")), None)


def _archive(package: Table) -> Table | None:
    """The wheel for this platform, else the sdist, if the lock knows its size."""
    ranked = [(rank, wheel["url"], wheel) for wheel in package.get("wheels", ()) if (rank := _rank(wheel["url"]))]
    archive = min(ranked, key=lambda each: each[:2])[2] if ranked else package.get("sdist", {})
    return archive if "size" in archive and "hash" in archive else None


def _rank(url: str) -> tuple[int, int] | None:
    """How well a wheel suits, lower is better; None when it does not."""
    python, abi, platform = url.rpartition("/")[2].removesuffix(".whl").split("-")[-3:]
    words = {*python.split("."), abi}
    interpreter = next((place for place, word in enumerate(INTERPRETERS) if word in words), None)
    if interpreter is None or (abi.startswith("cp") and abi.endswith("t")):
        return None
    if platform == "any":
        return 2, interpreter
    fits = "x86_64" in platform and "linux" in platform
    return (1 if "musl" in platform else 0, interpreter) if fits else None

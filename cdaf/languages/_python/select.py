"""From the lock's PEP 751 form to what each platform needs."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cdaf.errors import CdafError, ResolveError, faults
from cdaf.languages._python import environment
from cdaf.languages._python.lockfile import redacted
from cdaf.languages._python.values import Choice, Target, basename

if TYPE_CHECKING:
    from packaging.pylock import Package, Pylock

# Strongest first; what is not here (md5, sha1) does not name an archive well enough.
ALGORITHMS = ("sha512", "sha384", "sha256", "blake2b", "blake2s", "sha3_512", "sha3_384", "sha3_256")


def parse(data: bytes) -> Pylock:
    """An export as `packaging` reads it. Raises ResolveError for a form it does not know."""
    from packaging.pylock import Pylock, PylockValidationError

    try:
        return Pylock.from_dict(tomllib.loads(data.decode()))
    except (PylockValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ResolveError(f"uv's export of uv.lock cannot be read: {error}", "run `uv lock` again") from error


def choose(main: Pylock, smoke: Pylock | None, targets: Sequence[Target], root: Path) -> tuple[Choice, ...]:
    """What the image and the checks need on every target, by name.

    Checks that share the image's base get what the image lacks; checks with a base of their own get everything.
    Raises ResolveError with all faults: no wheel for a platform, no hash, an interpreter that the project excludes.
    """
    found: list[str] = []
    chosen: dict[str, Choice] = {}
    separate = any(target.smoke for target in targets)
    for target in targets:
        if not target.smoke:
            mine = _select(main, target, root, found)
            _add(chosen, mine, target.platform, "main")
            if smoke is not None and not separate:
                names = {choice.name: choice for choice in mine}
                extra = [choice for choice in _select(smoke, target, root, found) if names.get(choice.name) != choice]
                found += [_differs(choice, target) for choice in extra if choice.name in names]
                _add(chosen, extra, target.platform, "smoke")
        elif smoke is not None:
            _add(chosen, _select(smoke, target, root, found), target.platform, "smoke")
    if found:
        raise ResolveError(
            faults("uv.lock", list(dict.fromkeys(found))),
            "declare other platforms, another base or another version, and run `uv lock`",
        )
    return tuple(sorted(chosen.values(), key=lambda choice: (choice.name, choice.version, choice.filename)))


def _differs(choice: Choice, target: Target) -> str:
    return f"{choice.name} is another one with the checks' group on {target.platform}, and both share one environment"


def _add(chosen: dict[str, Choice], choices: Iterable[Choice], platform: str, role: str) -> None:
    for choice in choices:
        name = msgspec.json.encode(choice).decode()
        known = chosen.get(name, choice)
        chosen[name] = msgspec.structs.replace(known, **{role: (*getattr(known, role), platform)})


def _select(lock: Pylock, target: Target, root: Path, found: list[str]) -> list[Choice]:
    """One target's selection; what stands in the way is added to `found`, all of it."""
    from packaging.pylock import PylockSelectError

    try:
        facts = target.base.facts
        refusal = _refused(lock, target)
        if refusal:
            found.append(refusal)
            return []
        known, tags = environment.markers(facts, target.platform), environment.tags(facts, target.platform)
        picked = list(lock.select(environment=known, tags=tags))
    except PylockSelectError as error:
        found += _each(lock, target) or [f"{target.platform}: {error}"]
        return []
    except CdafError as error:
        found.append(error.message)
        return []
    choices = [_choice(package, source, root, found) for package, source in picked]
    return [choice for choice in choices if choice is not None]


def _refused(lock: Pylock, target: Target) -> str:
    facts = target.base.facts
    if not facts.interpreter:
        return f"{target.base.reference} has no Python interpreter on {target.platform}"
    if lock.requires_python is None or lock.requires_python.contains(facts.interpreter_version, prereleases=True):
        return ""
    return (
        f"requires-python is {lock.requires_python}, and {target.base.reference} has Python "
        f"{facts.interpreter_version} on {target.platform}"
    )


def _each(lock: Pylock, target: Target) -> list[str]:
    """The faults of every package by itself, since `select` stops at the first."""
    from packaging.pylock import PylockSelectError

    known = environment.markers(target.base.facts, target.platform)
    tags = environment.tags(target.base.facts, target.platform)
    found = []
    for package in lock.packages:
        try:
            list(dataclasses.replace(lock, packages=[package]).select(environment=known, tags=tags))
        except PylockSelectError as error:
            missing = package.wheels and str(error).startswith("No wheel")
            found.append(_unavailable(package, target) if missing else f"{target.platform}: {error}")
    return found


def _unavailable(package: Package, target: Target) -> str:
    facts, major = target.base.facts, ".".join(target.base.facts.interpreter_version.split(".")[:2])
    wheels = ", ".join(sorted(wheel.filename for wheel in package.wheels or ()))
    return (
        f"{package.name} {package.version} has no wheel for {target.platform} "
        f"(Python {major}, {facts.libc} {facts.libc_version}) and no sdist; there are {wheels}"
    )


def _choice(package: Package, source: Any, root: Path, found: list[str]) -> Choice | None:
    from packaging import pylock

    name, version = str(package.name), str(package.version or "")
    if isinstance(source, pylock.PackageDirectory):
        folder = (root / source.path).resolve()
        return Choice(
            name=name, version=version, kind="directory", directory=str(folder), subdirectory=source.subdirectory or ""
        )
    if isinstance(source, pylock.PackageVcs):
        if source.type != "git" or source.url is None:
            found.append(f"{name} comes from {source.type}, and only git is known here")
            return None
        return Choice(
            name=name,
            version=version,
            kind="git",
            url=clean(source.url),
            commit=source.commit_id,
            subdirectory=source.subdirectory or "",
        )
    hashes = dict(_strongest(source.hashes))
    place = clean(source.url) if source.url else str((root / source.path).resolve())
    filename = getattr(source, "filename", "") or basename(place)
    if not hashes:
        found.append(f"{name} {version}: {filename} has no SHA-2 hash in uv.lock")
    kind = "wheel" if filename.endswith(".whl") else "sdist"
    subdirectory = getattr(source, "subdirectory", None) or ""
    return Choice(
        name=name,
        version=version,
        kind=kind,
        filename=filename,
        url=place,
        hashes=hashes,
        size=source.size,
        subdirectory=subdirectory,
    )


def _strongest(hashes: Any) -> Iterator[tuple[str, str]]:
    known = {algorithm.lower(): value.lower() for algorithm, value in (hashes or {}).items()}
    return ((algorithm, known[algorithm]) for algorithm in ALGORITHMS if algorithm in known)


def clean(url: str) -> str:
    """A URL without its credentials and its fragment."""
    return redacted(url.partition("#")[0].encode()).decode()

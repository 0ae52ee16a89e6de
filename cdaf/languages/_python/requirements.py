"""Pinning what builds need: each build requirement a wheel, by its hash."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdaf import process, progress
from cdaf.errors import ResolveError
from cdaf.languages._python import access, build, environment, lockfile, resolve, select, source
from cdaf.languages._python.values import Choice, Target, basename
from cdaf.languages._shared import scratch
from cdaf.net import fetch, transfers
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Base, Build, Facts, Pins, Requirement
from cdaf.projects.project import Project

if TYPE_CHECKING:
    from packaging.pylock import Package

# The Pythons that cdaf runs on: a build on the host may be by any of them.
_OLDEST, _HOSTS = "3.11", ("3.11.0", "3.12.0", "3.13.0", "3.14.0")


def pin(project: Project, bases: Mapping[str, Facts]) -> tuple[Build, ...]:
    """The build requirements of everything in the lock that must be built, by key.

    Fetches the sources, for they alone say what their builds need. Raises ProjectError, ResolveError.
    """
    reference = base_of(project)
    pinned = tuple(
        Base(reference=reference, platform=platform, digest="", facts=facts) for platform, facts in bases.items()
    )
    named = resolve.choices(project, Pins(bases=pinned))
    if project.settings.build.run:
        first = Target(platform=pinned[0].platform, base=pinned[0])
        named = (*named, *resolve.tools(project, first))
    choices = list({choice.key: choice for choice in named if choice.kind != "wheel"}.values())
    if not choices:
        return ()
    with progress.step("pinning build requirements"), transfers.workers(2) as pool:
        sdists = [resolve.want(choice) for choice in choices if choice.kind == "sdist"]
        headers = access.headers(project)
        got = fetch.fetch(sdists, headers)
        found = pool.map(lambda choice: _pin(project, choice, got.get(choice.url), bases, headers), choices)
        return tuple(sorted({each.key: each for each in found}.values(), key=lambda each: each.key))


def _pin(
    project: Project, choice: Choice, got: fetch.Got | None, bases: Mapping[str, Facts], headers: fetch.Headers
) -> Build:
    with scratch.folder() as folder:
        (folder / "source").mkdir()
        laid = source.of(choice, got).lay(folder / "source")
        declared = source.declared(laid)
        pinned = Build(key=choice.key, declared=declared, requires=_compile(project, choice, declared, bases))
        if not all(build.is_pure(basename(each.url)) for each in pinned.requires):
            return pinned
        fetch.fetch(_wants(pinned), headers)
        more = build.call(choice, laid, folder, pinned, resolve.told(project, choice), "get_requires_for_build_wheel")
        if not more:
            return pinned
        return Build(key=choice.key, declared=declared, requires=_compile(project, choice, [*declared, *more], bases))


def _wants(pinned: Build) -> list[fetch.Want]:
    from cdaf.languages._python import buildenv

    return buildenv.wants(pinned.requires)


def _compile(
    project: Project, choice: Choice, declared: Sequence[str], bases: Mapping[str, Facts]
) -> tuple[Requirement, ...]:
    """Have uv resolve the requirements, wheels alone, for any host and the bases, by the user's own indexes."""
    if not declared:
        return ()
    options = ["--format", "pylock.toml", "--universal", "--python-version", _OLDEST, "--only-binary", ":all:"]
    quiet = ["--no-header", "--no-annotate", "--quiet", "--color=never", "--no-progress", "--no-python-downloads"]
    root = lockfile.find(project.root, project.repository).parent
    limits = (
        lockfile.manifest(root / "pyproject.toml").get("tool", {}).get("uv", {}).get("build-constraint-dependencies")
    )
    with tempfile.NamedTemporaryFile("w", prefix="cdaf-", suffix=".txt") as constraints:
        constraints.write("\n".join(limits or []))
        constraints.flush()
        words = [lockfile.binary(), "pip", "compile", "-", *options, *quiet, "--constraints", constraints.name]
        done = process.run(words, cwd=project.root, stdin="\n".join(declared).encode())
    if done.code:
        told = lockfile.redacted(done.stderr).decode(errors="replace").strip()
        transient = any(word in told for word in ("Failed to fetch", "error sending request", "timed out", "dns error"))
        message = f"the build requirements of {choice.key} cannot be had as wheels: {', '.join(declared)}"
        raise ResolveError(
            message, "relax its [build-system] requires, or lock a version that has wheels", told, transient=transient
        )
    packages = select.parse(done.stdout).packages
    return tuple(requirement for package in packages for requirement in _requirement(package, bases))


def _requirement(package: Package, bases: Mapping[str, Facts]) -> Iterator[Requirement]:
    """The pure wheel when there is one, else one for each base."""
    known = [environment.markers(facts, platform) for platform, facts in bases.items()]
    hosts: list[Any] = [{**known[0], "python_full_version": full, "python_version": full[:4]} for full in _HOSTS]
    if package.marker and not any(package.marker.evaluate(each) for each in [*known, *hosts]):
        return
    wheels = list(package.wheels or ())
    pure = [wheel for wheel in wheels if build.is_pure(wheel.filename)]
    chosen = pure[-1:] or [wheel for platform, facts in bases.items() for wheel in _best(wheels, facts, platform)]
    if not chosen:
        raise ResolveError(f"build requirement {package.name} {package.version} has no wheel for any platform")
    for wheel in {wheel.filename: wheel for wheel in chosen}.values():
        sha256 = (wheel.hashes or {}).get("sha256")
        if not sha256:
            raise ResolveError(f"build requirement {package.name} {package.version}: its index gives no sha256 for it")
        url = select.clean(wheel.url or str(Path(wheel.path or "").resolve()))
        yield Requirement(name=str(package.name), version=str(package.version), url=url, sha256=sha256)


def _best(wheels: Sequence[Any], facts: Facts, platform: str) -> list[Any]:
    from packaging.tags import create_compatible_tags_selector
    from packaging.utils import parse_wheel_filename

    selector = create_compatible_tags_selector(environment.tags(facts, platform))
    return list(selector((wheel, parse_wheel_filename(wheel.filename)[-1]) for wheel in wheels))[:1]


def faults(choices: Sequence[Choice], pins: Pins) -> list[str]:
    """What `cdaf.lock` lacks for the things to be built, or has of an older declaration."""
    builds = {each.key: each for each in pins.builds}
    found = []
    for choice in choices:
        pinned = builds.get(choice.key)
        if pinned is None:
            found.append(f"no build requirements of {choice.key}")
        elif choice.kind == "directory" and (fault := source.check_declared(choice, pinned.declared)):
            found.append(fault)
    return found

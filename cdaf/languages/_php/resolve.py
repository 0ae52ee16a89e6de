"""The PHP language's first act: composer.lock held against composer.json, the settings and the base."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from cdaf import languages, progress
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._php import lockfile, platform
from cdaf.languages._php.lockfile import Lockfile
from cdaf.languages._php.values import LOCK, MANIFEST, Package
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project

# What Composer would run after an install from the lock.
_EVENTS = ("pre-install-cmd", "post-install-cmd", "pre-autoload-dump", "post-autoload-dump")
_PLACING = "composer/installers"


def resolve(project: Project, pins: Pins) -> languages.Lock:
    """Read composer.lock. Raises ProjectError for the project's files, ResolveError for what cannot be had."""
    found = lockfile.read(project.root)
    demand(project, found)
    packages, wrong = lockfile.packages(found)
    wrong += [*_plugins(project, found, packages), *_outside(project, packages)]
    bases = [pinned.base(pins, base_of(project), each) for each in project.settings.image.platforms]
    wrong += [*platform.faults(found, packages, bases), *platform.extensions(found, packages, bases)]
    if wrong:
        raise ResolveError(faults(LOCK, wrong), "lock what the base can have, or choose another image.base")
    _tell_scripts(project, found)
    files = {LOCK: lockfile.redacted(found.data)}
    composer = project.settings.php.composer
    pin = pinned.base(pins, composer, project.settings.image.platforms[0])
    paths = [Path(each.directory) for each in packages if each.kind == "path"]
    own = [project.root] if project.settings.build.run else []
    inputs = (found.path, project.root / MANIFEST, *paths, *own)
    return languages.Lock(tuple(packages), files, {"composer": f"{composer}@{pin.digest}"}, pins, inputs)


def check(project: Project) -> list[str]:
    """All faults that can be told without the base and without fetching."""
    try:
        found = lockfile.read(project.root)
        demand(project, found)
    except ProjectError as error:
        return [error.message]
    packages, wrong = lockfile.packages(found)
    return [*wrong, *_plugins(project, found, packages), *_outside(project, packages)]


def of(lock: languages.Lock) -> list[Package]:
    """The packages of a lock that `resolve` read."""
    return [cast("Package", each) for each in lock.packages]


def demand(project: Project, found: Lockfile) -> None:
    """Raise ProjectError for a lock that is not this composer.json's, and for settings that PHP has no use of."""
    lockfile.shape(found)
    wrong = [*lockfile.names(found), *_settings(project, found), *_missing(found)]
    if wrong:
        raise ProjectError(faults(LOCK, wrong), "lock again with Composer, or change the settings")


def _settings(project: Project, found: Lockfile) -> Iterator[str]:
    settings = project.settings
    if settings.service.extras or settings.service.groups:
        yield "service.extras and service.groups: composer.lock knows no groups but that of developers"
    if settings.smoke.group not in (None, "dev"):
        yield f"smoke.group: composer.lock has one group, `dev`, and not {settings.smoke.group!r}"
    for key, usual in (("vendor-dir", "vendor"), ("bin-dir", "vendor/bin")):
        told = found.config.get(key, usual)
        if str(told).rstrip("/") != usual:
            yield f"config.{key} is {told!r}, and an image has {usual}: leave the setting out"


def _missing(found: Lockfile) -> Iterator[str]:
    """What composer.json asks for and nothing in the lock is or provides."""
    for key, only in (("require", False), ("require-dev", None)):
        have: set[str] = set()
        for entry, dev in lockfile.entries(found):
            if only is None or dev is only:
                have |= {
                    entry["name"].lower(),
                    *map(str.lower, (*(entry.get("replace") or ()), *(entry.get("provide") or ()))),
                }
        own = {name.lower() for what in ("replace", "provide") for name in found.manifest.get(what) or ()}
        for name in found.manifest.get(key) or ():
            if not lockfile.PLATFORM.fullmatch(name) and name.lower() not in have | own:
                yield f"{name} is required by composer.json and not in the lock"


def _plugins(project: Project, found: Lockfile, packages: list[Package]) -> Iterator[str]:
    """Packages of the image that count on code that Composer would run while installing."""
    main = [each for each in packages if not each.dev]
    allowed, named = found.config.get("allow-plugins", {}), project.settings.php.plugins
    for each in main:
        if _PLACING in each.needs and each.name.lower() != _PLACING:
            yield f"{each.label} is put elsewhere by {_PLACING}, and cdaf lays out vendor alone: take it in by a path"
        elif each.is_plugin and each.name not in named and _is_allowed(each.name, allowed):
            yield (
                f"{each.label} is a plugin that composer.json allows, and plugins do not run by themselves: name it in "
                "php.plugins, or disallow it in config.allow-plugins, or require it for developers alone"
            )
    unknown = sorted(set(named) - {each.name for each in main if each.is_plugin})
    yield from (f"php.plugins: {name!r} is no plugin of the image's packages" for name in unknown)


def _is_allowed(name: str, allowed: object) -> bool:
    if not isinstance(allowed, dict):
        return allowed is True
    patterns = ((re.escape(key).replace(r"\*", ".*"), value) for key, value in allowed.items())
    return next((value is True for pattern, value in patterns if re.fullmatch(pattern, name, re.IGNORECASE)), False)


def _outside(project: Project, packages: list[Package]) -> Iterator[str]:
    for each in packages:
        if each.kind == "path":
            folder = Path(each.directory)
            if not folder.resolve().is_relative_to(project.repository):
                yield f"{each.label} lies outside of the repository, at {each.directory}"
            elif not (folder / MANIFEST).is_file():
                yield f"{each.label} should lie at {each.directory}, and there is no composer.json"
            else:
                yield from _stale(each, lockfile.manifest(folder))


def _stale(package: Package, manifest: dict[str, Any]) -> Iterator[str]:
    """What a folder's own composer.json says by now and the lock does not."""
    if str(manifest.get("name")).lower() != package.name.lower():
        yield f"{package.label}: the folder at {package.directory} is {manifest.get('name')} by now: lock again"
    told = manifest.get("require")
    needs = {name.lower(): each for name, each in told.items()} if isinstance(told, dict) else {}
    differs = sorted({name for name, _ in needs.items() ^ package.needs.items()})
    if differs:
        yield f"{package.label}: the lock has other words than its composer.json on {', '.join(differs)}: lock again"


def _tell_scripts(project: Project, found: Lockfile) -> None:
    scripts = found.manifest.get("scripts")
    named = [event for event in _EVENTS if isinstance(scripts, dict) and scripts.get(event)]
    if named and not project.settings.build.run:
        progress.warn(
            f"composer.json has scripts for {', '.join(named)}, and none of them runs: "
            "what they make is for [build] run to make"
        )

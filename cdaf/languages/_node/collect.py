"""Node's second act: every archive that the lock names in the store, install scripts run where they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from cdaf import languages
from cdaf.bundles.manifest import Dependency
from cdaf.languages._node import lockfile, npmrc, pack, reading, resolve
from cdaf.languages._node.npmrc import Config
from cdaf.languages._node.reading import Reading
from cdaf.languages._node.values import Choice
from cdaf.net import fetch, http, transfers
from cdaf.projects.project import Project

_LOGIN = "give them by .npmrc: `//HOST/PATH/:_authToken=${NAME}`, with that variable in the environment"


class Held(msgspec.Struct, frozen=True):
    """A choice with its archive and what that holds."""

    choice: Choice
    archive: languages.Archive
    reading: Reading


def collect(project: Project, lock: languages.Lock) -> languages.Collection:
    """Fetch, build and check. Raises ResolveError when something cannot be had as declared."""
    from cdaf.languages._node import scripts, workshop

    chosen = resolve.of(lock)
    with transfers.workers(1) as pool:
        building = pool.submit(workshop.outputs, project, lock.pins) if project.settings.build.run else None
        held = obtain(project, chosen.choices)
        scripts.demand(project, held, resolve.targets(project, lock.pins))
        if building:
            building.result()
    archives = {each.archive.dependency.archive: each.archive for each in held}
    return languages.Collection(lock, tuple(archives[name] for name in sorted(archives)))


def obtain(project: Project, choices: Sequence[Choice]) -> list[Held]:
    """Every choice with its archive: fetched by its hash, or made of a folder or commit."""
    root = lockfile.find(project.root, project.repository).parent
    config = npmrc.read(root)
    urls = {each.identity: _url(config, root, each) for each in choices if each.kind in ("url", "file")}
    labels = {urls[each.identity]: each.label for each in choices if each.identity in urls}
    wants = [
        fetch.Want(each.label, urls[each.identity], each.hashes, login=_LOGIN)
        for each in choices
        if each.identity in urls
    ]

    def arrived(got: fetch.Got) -> None:
        reading.read(got.path, got.sha256, labels[got.want.url])

    got = fetch.fetch(wants, npmrc.headers(config), arrived)
    made = {
        each.identity: pack.folder(root, each) if each.kind == "folder" else pack.git(each)
        for each in choices
        if each.kind in ("folder", "git")
    }
    where = {identity: (got[url].path, got[url].sha256) for identity, url in urls.items()}
    where |= {identity: (each.path, each.sha256) for identity, each in made.items()}
    return _held(project, root, choices, where)


def identity(project: Project, choice: Choice) -> str:
    """What decides the bytes of a choice; of a folder, what git tracks in it."""
    if choice.kind != "folder":
        return choice.identity
    return pack.folder(lockfile.find(project.root, project.repository).parent, choice).sha256


def _url(config: Config, root: Path, choice: Choice) -> str:
    if choice.kind == "file":
        return str((root / choice.url).resolve())
    return npmrc.url(config, choice.name, choice.version, choice.url)


def _held(project: Project, root: Path, choices: Sequence[Choice], where: dict[str, tuple[Path, str]]) -> list[Held]:
    names = filenames(choices)
    found = []
    together: dict[str, list[Choice]] = {}
    for each in choices:
        together.setdefault(each.identity, []).append(each)
    for identity, those in together.items():
        path, sha256 = where[identity]
        first = those[0]
        told = reading.read(path, sha256, first.label, first.kind == "folder")
        dependency = _dependency(project, root, those, names[identity], sha256, told)
        archive = languages.Archive(path, dependency)
        found += [Held(each, archive, told) for each in those]
    return sorted(found, key=lambda each: each.choice.path)


def held(choices: Sequence[Choice], archives: Sequence[languages.Archive]) -> list[Held]:
    """Choices with the archives that they became."""
    known = {each.dependency.archive: each for each in archives}
    names = filenames(choices)
    found = []
    for each in choices:
        archive = known[f"deps/{names[each.identity]}"]
        told = reading.read(archive.path, archive.dependency.sha256, each.label, each.kind == "folder")
        found.append(Held(each, archive, told))
    return sorted(found, key=lambda each: each.choice.path)


def filenames(choices: Iterable[Choice]) -> dict[str, str]:
    """A file name of its own for each archive, by identity; none is another's in other letter case."""
    wanted = {each.identity: f"{each.name.lstrip('@').replace('/', '-')}-{each.version}" for each in choices}
    same: dict[str, list[str]] = {}
    for identity in sorted(wanted):
        same.setdefault(wanted[identity].lower(), []).append(identity)
    alone = {those[0] for those in same.values() if len(those) == 1}
    return {
        identity: f"{plain}.tgz" if identity in alone else f"{plain}-{_mark(identity)}.tgz"
        for identity, plain in wanted.items()
    }


def _mark(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


def _dependency(
    project: Project, root: Path, those: Sequence[Choice], filename: str, sha256: str, told: Reading
) -> Dependency:
    first = those[0]
    is_local = first.kind in ("folder", "git")
    version = (told.package.version if first.kind == "folder" else "") or first.version
    algorithm, value = next(iter(first.hashes.items()), ("", ""))
    return Dependency(
        name=first.name,
        version=version,
        purl=f"pkg:npm/{quote(first.name, safe='/')}@{quote(version, safe='')}",
        archive=f"deps/{filename}",
        sha256=sha256,
        platforms=tuple(sorted({platform for each in those for platform in each.platforms})),
        group="main" if any(each.main for each in those) else "smoke",
        url=http.clean(first.url) if first.kind == "url" and first.url else None,
        hash=None if is_local else f"{algorithm}:{value}",
        built_from=_origin(project, root, first),
        license=told.package.license or None,
        requires=tuple(sorted({name for each in those for name in each.requires})),
    )


def _origin(project: Project, root: Path, choice: Choice) -> str | None:
    """Where a source came from, without a path of this machine."""
    if choice.kind == "folder":
        return os.path.relpath(root / choice.folder, project.repository)
    if choice.kind == "git":
        return f"git+{http.clean(choice.url.removeprefix('git+'))}@{choice.commit}"
    return None

"""Bringing what the lock names into the store: by its SHA-1, or by the hash of its content tree."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from cdaf import progress, store
from cdaf.errors import CdafError, ProjectError, ResolveError, faults
from cdaf.languages._php import archive, auth, mirrors
from cdaf.languages._php.values import Package
from cdaf.languages._shared import gitsource, memo, scratch, tree
from cdaf.net import fetch, http, transfers
from cdaf.net.fetch import KIND, Want
from cdaf.projects import pins
from cdaf.projects.project import Project

_ATTEMPTS = 3
_LOGIN = "give them by COMPOSER_AUTH or auth.json"
Moved = Callable[[int], None]


class Held(msgspec.Struct, frozen=True):
    """A package's archive in the store, and the hash that it was held against."""

    sha256: str
    hash: str
    url: str = ""

    @property
    def path(self) -> Path:
        """Where its bytes lie."""
        return store.path(KIND, self.sha256)


def obtain(project: Project, packages: Sequence[Package], pinned: Sequence[pins.Archive]) -> dict[str, Held]:
    """Every package's archive, by name.

    Raises ProjectError when cdaf.lock lacks the hash of one, ResolveError with all that cannot be had as locked.
    """
    known = {(each.name, each.version): each.hash for each in pinned}
    bare = [each for each in packages if each.kind == "archive" and not each.shasum]
    lacking = [f"no hash of {each.label}, and composer.lock has none" for each in bare if _key(each) not in known]
    if lacking:
        raise ProjectError(faults(pins.NAME, lacking), "run `cdaf lock`, and commit the file")
    headers = auth.headers(project.root)
    found = _hashed(packages, headers)
    wanted = {each.name: known[_key(each)] for each in bare}
    have = {each.name: held for each in bare if (held := _kept(each, wanted[each.name]))}
    absent = [each for each in bare if each.name not in have]
    have |= {name: _as_pinned(held, wanted[name], name) for name, held in take(absent, headers).items()}
    built = {each.name: _built(project, each) for each in packages if each.kind in ("git", "path")}
    return {**found, **have, **built}


def _key(package: Package) -> tuple[str, str]:
    return package.name, package.version


def _hashed(packages: Sequence[Package], headers: fetch.Headers) -> dict[str, Held]:
    """What the lock has a SHA-1 of, from the first of its addresses that serves it."""
    wanted = [each for each in packages if each.kind == "archive" and each.shasum]
    more = mirrors.known(headers) if any(not fetch.present(_want(each, each.urls[0])) for each in wanted) else ()
    tried = {each.name: [*mirrors.of(more, each), *each.urls] for each in wanted}
    for turn in range(max(map(len, tried.values()), default=0)):
        wants = {each.name: _want(each, tried[each.name][min(turn, len(tried[each.name]) - 1)]) for each in wanted}
        try:
            got = fetch.fetch(list(wants.values()), headers)
        except ResolveError:
            if turn + 1 >= max(map(len, tried.values())):
                raise
            continue
        found = {name: got[want.url] for name, want in wants.items()}
        return {
            name: Held(each.sha256, f"sha1:{each.want.hashes['sha1']}", each.want.url) for name, each in found.items()
        }
    return {}


def _want(package: Package, url: str) -> Want:
    return Want(package.label, url, {"sha1": package.shasum} if package.shasum else {}, login=_LOGIN)


def _kept(package: Package, pinned: str) -> Held | None:
    sha256 = memo.load(memo.key("php tree", pinned), str)
    return Held(sha256, pinned, package.urls[0]) if sha256 and store.checked(KIND, sha256) else None


def _as_pinned(held: Held, pinned: str, name: str) -> Held:
    if held.hash != pinned:
        raise ResolveError(
            f"hash mismatch for {name}: {pins.NAME} says {pinned}, {http.clean(held.url)} served {held.hash}",
            "find out who changed it; if the change is wanted, run `cdaf lock --upgrade`",
        )
    return held


def take(packages: Sequence[Package], headers: fetch.Headers) -> dict[str, Held]:
    """Fetch archives that no hash is known of, and take that of their content trees.

    Raises ResolveError with all that cannot be had.
    """
    if not packages:
        return {}
    more, lock = mirrors.known(headers), threading.Lock()
    with progress.transfer("dependencies", None) as advance, transfers.workers(fetch.CONNECTIONS) as pool:

        def moved(count: int) -> None:
            with lock:
                advance(count)

        running = {each.name: pool.submit(_taken, each, more, headers, moved) for each in packages}
        return _gathered(running)


def _gathered(running: Mapping[str, Future[Held]]) -> dict[str, Held]:
    found, wrong = {}, []
    for name, future in running.items():
        try:
            found[name] = future.result()
        except CdafError as error:
            wrong.append(error)
    if wrong:
        lasting = [error for error in wrong if not error.transient] or wrong
        messages = [error.message for error in lasting]
        told = messages[0] if len(messages) == 1 else faults("archives", messages)
        raise ResolveError(told, lasting[0].hint, lasting[0].output, transient=lasting[0].transient)
    return found


def _taken(package: Package, more: Sequence[str], headers: fetch.Headers, moved: Moved) -> Held:
    """An archive from the first of its addresses that serves it, in its canonical form."""
    first: CdafError | None = None
    for url in dict.fromkeys([*mirrors.of(more, package), *package.urls]):
        try:
            return _from(package, url, headers, moved)
        except CdafError as error:
            first = first or error
    raise first or ResolveError(f"{package.label} has no address", "lock it again")


def _from(package: Package, url: str, headers: fetch.Headers, moved: Moved) -> Held:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with store.writing(KIND) as (file, temporary):
                for chunk in fetch.chunks(_want(package, url), headers):
                    moved(len(chunk))
                    file.write(chunk)
                file.flush()
                return _canonical(package, temporary, url)
        except CdafError as error:
            if not error.transient or attempt == _ATTEMPTS:
                raise
    raise AssertionError("there is at least one attempt")


def _canonical(package: Package, fetched: Path, url: str) -> Held:
    sha256 = archive.canonical(fetched, package.label)
    told = archive.tree_hash(archive.read(store.path(KIND, sha256), sha256, package.label, whole=True))
    memo.save(memo.key("php tree", told), sha256)
    return Held(sha256, told, url)


def _built(project: Project, package: Package) -> Held:
    """The archive of a folder of the repository, or of a commit."""
    if package.kind == "git":
        name = memo.key("php git", package.urls[0], package.commit)
        sha256 = memo.load(name, str)
        if not sha256 or not store.checked(KIND, sha256):
            with scratch.folder() as folder:
                gitsource.lay(package.label, package.urls[0], package.commit, folder)
                sha256 = archive.of_files(tree.laid(folder))
            memo.save(name, sha256)
        return Held(sha256, f"git:{package.commit}", package.urls[0])
    leaves = tree.read(tree.tracked(Path(package.directory)))
    digest = tree.digest(leaves)
    sha256 = memo.load(memo.key("php path", digest), str)
    if not sha256 or not store.checked(KIND, sha256):
        sha256 = archive.of_files(leaves)
        memo.save(memo.key("php path", digest), sha256)
    return Held(sha256, "", Path(package.directory).relative_to(project.repository).as_posix())

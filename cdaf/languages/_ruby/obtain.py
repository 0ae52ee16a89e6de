"""Gems by their hashes from the indexes that the lock names, or from Bundler's mirrors of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

from cdaf import progress, store
from cdaf.errors import CdafError, ResolveError, faults
from cdaf.languages._ruby import platforms, resolve, select, settings
from cdaf.languages._ruby.platforms import Local
from cdaf.languages._ruby.resolve import Read
from cdaf.languages._ruby.values import Choice, Locked, Source, Spec
from cdaf.net import fetch, http, transfers
from cdaf.projects.pins import Archive
from cdaf.projects.project import Project

_AT_ONCE = 8
_LOGIN = "give Bundler's login for it (`bundle config set HOST USER:PASSWORD`)"


def url(remote: str, spec: Spec, known: Mapping[str, str]) -> str:
    """Where a gem lies on an index, or on its mirror (RubyGems' layout of indexes)."""
    return f"{settings.mirrored(remote, known)}/gems/{spec.full}.gem"


def gems(
    project: Project, choices: Iterable[Choice], each: Callable[[fetch.Got], None] = lambda _: None
) -> dict[str, fetch.Got]:
    """Every gem of an index that is chosen, in the store, by full name; `each` is called as one arrives."""
    found = resolve.read(project)
    known = settings.read(found.path.parent)
    headers = settings.headers(known, found.path.read_bytes())
    wants = {}
    for choice in choices:
        if choice.kind == "gem":
            algorithm, _, value = choice.hash.partition(":")
            place = _served(_source(found.locked, choice.spec), choice.spec, known, headers, {algorithm: value})
            wants[choice.spec.full] = _want(choice.spec, place, {algorithm: value})
    got = fetch.fetch(list(wants.values()), headers, each)
    return {name: got[want.url] for name, want in wants.items()}


def _want(spec: Spec, place: str, hashes: dict[str, str]) -> fetch.Want:
    return fetch.Want(f"{spec.name} {spec.number}", place, hashes, login=_LOGIN)


def public(remote: str, spec: Spec) -> str:
    """The address that the manifest has: upstream's, whatever mirror served."""
    return url(remote, spec, {})


def _source(locked: Locked, spec: Spec) -> Source:
    return next(each for each in locked.sources if spec in each.specs)


def _served(
    source: Source, spec: Spec, known: Mapping[str, str], headers: fetch.Headers, hashes: dict[str, str]
) -> str:
    """Of the indexes of a section the one that has the gem: only with several of them is it asked for."""
    places = list(dict.fromkeys(url(remote, spec, known) for remote in reversed(source.remotes)))
    if len(places) == 1 or fetch.present(fetch.Want(spec.full, places[0], hashes)):
        return places[0]
    for place in places:
        response = http.send("HEAD", place, headers(place))
        http.close(response)
        if response.status == HTTPStatus.OK:
            return place
    return places[0]


def pin(project: Project, kept: Sequence[Archive]) -> tuple[Archive, ...]:
    """The hash of each gem that the lock has none of: as it was taken once, or of what the index serves now."""
    found = resolve.read(project)
    known = {(each.name, each.version): each for each in kept}
    wanted = _unhashed(project, found)
    absent = [each for each in wanted if (each.name, each.number) not in known]
    if absent:
        progress.note(f"{found.path.name} has no hash of {len(absent)} gems: taken from what the index serves now")
        known |= {(each.name, each.version): each for each in _taken(found, absent)}
    return tuple(sorted((known[each.name, each.number] for each in wanted), key=lambda each: (each.name, each.version)))


def _unhashed(project: Project, found: Read) -> list[Spec]:
    """The forms that any base of the project's platforms might take, of gems without a checksum."""
    wanted: dict[str, Spec] = {}
    for name, place in select.places(found.locked).items():
        for platform in project.settings.image.platforms if place.source.kind == "gem" else ():
            for musl in (False, True):
                here = Local(platforms.cpus(platform), musl)
                spec = platforms.choose(place.specs, here, ruby=name in found.asked.forced)
                if spec is not None and spec.full not in found.locked.checksums:
                    wanted[spec.full] = spec
    return [wanted[name] for name in sorted(wanted)]


def _taken(found: Read, specs: Sequence[Spec]) -> list[Archive]:
    known = settings.read(found.path.parent)
    headers = settings.headers(known, found.path.read_bytes())

    def one(spec: Spec) -> Archive | CdafError:
        place = _served(_source(found.locked, spec), spec, known, headers, {"sha256": "0" * 64})
        try:
            sha256, _ = store.put(fetch.KIND, fetch.chunks(_want(spec, place, {}), headers))
            return Archive(name=spec.name, version=spec.number, hash=f"sha256:{sha256}")
        except CdafError as error:
            return error

    with transfers.workers(_AT_ONCE) as pool:
        made = list(pool.map(one, specs))
    if wrong := [each for each in made if isinstance(each, CdafError)]:
        if len(wrong) == 1:
            raise wrong[0]
        lasting = [each for each in wrong if not each.transient] or wrong
        message = faults("gems", list(dict.fromkeys(each.message for each in lasting)))
        raise ResolveError(message, lasting[0].hint, transient=lasting[0].transient)
    return [each for each in made if isinstance(each, Archive)]

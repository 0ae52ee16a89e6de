"""What stands where: packages at the lock's paths, links, and the `.bin` folders that npm fills (bin-links)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from cdaf.errors import ResolveError, faults
from cdaf.images.content import Content, of_bytes, of_file
from cdaf.images.plan import Entry, Link, Place, Rewrite, Unpack
from cdaf.languages._node.collect import Held
from cdaf.languages._node.reading import Moved, Package, Reading
from cdaf.languages._node.values import MODULES, Alias, Choice, Places
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated

# The order of ASCII in which npm has paths compared (CLDR's root collation); letter case decides last.
_ORDER = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_RANKS = {letter: rank for rank, letter in enumerate(_ORDER)}


class Made(msgspec.Struct, frozen=True):
    """A file that an install script made, or took away (no content); `path` is below its package's folder."""

    path: str
    content: Content | None = None
    executable: bool = False


class Spread(msgspec.Struct, frozen=True):
    """One package at its place; `gone` are paths of its archive that the image is not given.

    `elsewhere` are those that the service places itself, `bins` its links in `.bin` folders, `programs` the paths
    below its folder that they lead to.
    """

    held: Held
    prefix: str
    gone: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    made: tuple[Made, ...] = ()
    bins: tuple[Link, ...] = ()
    programs: frozenset[str] = frozenset()

    @property
    def choice(self) -> Choice:
        """What it is in the lock."""
        return self.held.choice

    @property
    def reading(self) -> Reading:
        """What its archive holds."""
        return self.held.reading

    @property
    def archive(self) -> str:
        """Its archive's member of the bundle."""
        return self.held.archive.dependency.archive

    def paths(self) -> Iterator[str]:
        """The paths below its folder that it fills."""
        yield from (path for path in self.reading.files if path not in self.gone)
        yield from (each.path for each in self.made)


def spreads(
    held: Iterable[Held],
    aliases: Sequence[Alias],
    places: Places,
    *,
    taken: frozenset[str] = frozenset(),
    made: Mapping[str, tuple[Made, ...]] = {},
) -> list[Spread]:
    """The packages of one target at their places; what the service places itself is `taken`, by path in the image.

    `made` is what install scripts made, by the lock's path.
    """
    listed = list(held)
    inside = {each.choice.path for each in listed}
    found = []
    for each in listed:
        prefix = places.of(each.choice.path)
        fresh = made.get(each.choice.path, ())
        elsewhere = (path for path in each.reading.files if f"{prefix}/{path}" in taken)
        gone = frozenset({*_superseded(each, inside), *(one.path for one in fresh)})
        kept = tuple(one for one in fresh if one.content)
        found.append(Spread(each, prefix, gone, frozenset(elsewhere) if taken else frozenset(), kept))
    return with_programs(found, aliases, places)


def _superseded(held: Held, inside: set[str]) -> Iterator[str]:
    """What a tarball brings of packages that the lock has from elsewhere at the same place."""
    if MODULES in held.reading.files and any(path.startswith(f"{held.choice.path}/{MODULES}/") for path in inside):
        yield MODULES  # a file where others want a folder
    if not held.reading.bundles:
        return
    below = [path for path in held.reading.files if path.startswith(f"{MODULES}/")]
    others = [
        path[len(held.choice.path) + 1 :]
        for path in inside
        if below and path.startswith(f"{held.choice.path}/{MODULES}/")
    ]
    yield from (path for path in below if any(path.startswith(f"{other}/") for other in others))


def with_programs(found: Sequence[Spread], aliases: Sequence[Alias], places: Places) -> list[Spread]:
    """The same with their links in `.bin` folders; of several that want one name the first gets it, as with npm."""
    targets = {each.choice.path: each for each in found}
    linked = {alias.target for alias in aliases}
    queue: list[tuple[str, str, Spread]] = []  # where the package is seen, the folder of its archive, the package
    for each in found:
        if each.choice.path not in linked:
            queue += [
                (posixpath.join(each.choice.path, folder), folder, each)
                for folder, package in each.reading.packages.items()
                if package.bin
            ]
    through = [(alias.path, "", targets[alias.target]) for alias in aliases if alias.target in targets]
    given: dict[str, Link] = {}
    known: dict[str, set[str]] = {}
    owned: dict[str, dict[str, Link]] = {}
    for path, folder, each in [*sorted(queue, key=_rank), *sorted(through, key=_rank)]:
        filled = {*each.paths()}
        for name, target in each.reading.packages.get(folder, Package()).bin.items():
            link = _link(path, name, target, places)
            program = posixpath.join(folder, target)
            if link and link.path not in given and program in filled:
                given[link.path] = link
                owned.setdefault(each.choice.path, {})[link.path] = link
                known.setdefault(each.choice.path, set()).add(program)
    _demand_folders(found, given)
    return [
        msgspec.structs.replace(
            each,
            gone=each.gone | _linked_over(each, given),
            bins=tuple(owned.get(each.choice.path, {}).values()),
            programs=frozenset(known.get(each.choice.path, ())),
        )
        for each in found
    ]


def _demand_folders(found: Sequence[Spread], given: Mapping[str, Link]) -> None:
    """Raise ResolveError for files where programs want a folder for their links: npm fails there."""
    folders = {posixpath.dirname(path): link for path, link in given.items()}
    wrong = [
        f"{each.choice.label} has a file {path}, and the program {posixpath.basename(link.path)} is linked below it"
        for each in found
        if each.reading.bundles
        for path in each.paths()
        if (link := folders.get(f"{each.prefix}/{path}"))
    ]
    if wrong:
        raise ResolveError(
            faults("node_modules", wrong), "ask its maintainers for a sound one, or lock another version"
        )


def _linked_over(spread: Spread, given: Mapping[str, Link]) -> set[str]:
    """Files of a tarball's own `.bin` folders that give way to links."""
    files = spread.reading.files if spread.reading.bundles else ()
    return {path for path in files if "/.bin/" in path and f"{spread.prefix}/{path}" in given}


def _rank(waiting: tuple[str, str, Spread]) -> tuple[int, list[int], str]:
    path = waiting[0]
    return path.count(f"{MODULES}/"), *rank(path)


def rank(path: str) -> tuple[list[int], str]:
    """A path's place in the order in which npm links programs."""
    return [_RANKS.get(letter, len(_ORDER) + ord(letter)) for letter in path.lower()], path.swapcase()


def _link(path: str, name: str, target: str, places: Places) -> Link | None:
    top, sign, _ = path.rpartition(f"{MODULES}/")
    if not sign:
        return None
    place = places.of(f"{top}{MODULES}/.bin/{name}")
    return Link(place, posixpath.relpath(posixpath.join(places.of(path), target), posixpath.dirname(place)))


def entries(spread: Spread, generated: Generated, kept: dict[str, Content]) -> list[Entry]:
    """How the plan spreads one package; small files that it places are `generated`, larger ones `kept`."""
    told = spread.reading
    absent = spread.gone | spread.elsewhere
    written = {each.path for each in told.written}
    skip = {*told.skip, *(told.files[path] for path in absent if path in told.files and path not in written)}
    rewrites = tuple(
        Rewrite(each.member, f"{spread.prefix}/{each.path}", each.mode)
        for each in told.moved
        if each.path not in absent and (each.mode is None or each.path in spread.programs or _is_renamed(each))
    )
    found: list[Entry] = [Unpack(spread.archive, spread.prefix, 1, rewrites, tuple(sorted(skip)))]
    stem = spread.archive.rpartition("/")[2].removesuffix(".tgz")
    for each in told.written:
        if each.path not in absent:
            member = frame.generate(generated, f"{stem}/{each.path}", each.data, "package")
            found.append(Place(member, f"{spread.prefix}/{each.path}", each.mode))
    for one in spread.made:
        if one.content is None:
            continue
        member = f"generated/{stem}/{one.content.sha256[:12]}/{one.path}"
        kept[member] = one.content
        found.append(Place(member, f"{spread.prefix}/{one.path}", 0o755 if one.executable else 0o644))
    return [*found, *spread.bins]


def _is_renamed(moved: Moved) -> bool:
    return moved.member.partition("/")[2] != moved.path


def links(aliases: Iterable[Alias], places: Places) -> list[Link]:
    """The links of the tree: workspaces and folders."""
    found = []
    for each in aliases:
        path = places.of(each.path)
        found.append(Link(path, posixpath.relpath(places.of(each.target), posixpath.dirname(path))))
    return found


def whole(found: Sequence[Spread], aliases: Sequence[Alias], places: Places) -> tuple[list[Entry], dict[str, Content]]:
    """A tree with all that it is made of, for a container."""
    generated: Generated = {}
    kept: dict[str, Content] = {}
    laid: list[Entry] = [*links(aliases, places)]
    laid += [entry for each in found for entry in entries(each, generated, kept)]
    archives = {each.archive: of_file(each.held.archive.path, each.held.archive.dependency.sha256) for each in found}
    return laid, {**archives, **kept, **{name: of_bytes(data) for name, data in generated.items()}}

"""Compiling in a container of the base, without network: sources in, zips of unchecked hash-based pyc files out."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from cdaf import assets, engine, progress, store, typed
from cdaf.errors import EngineError, ResolveError, SmokeError
from cdaf.images import content, deflatezip, layer, tarform, wheelzip
from cdaf.images.tarform import Header
from cdaf.languages._python.bytecode import KIND, Made, Ready, Unit, compiles
from cdaf.languages._python.values import Target
from cdaf.languages._shared import scratch

_HINT = "start Docker where one of the platforms runs, or set `bytecode = false` below [image]"
_FOLDER = "cdaf-bytecode"
_OUT = f"/{_FOLDER}/out"
_TAG = re.compile(r"[a-z]+-[0-9a-z]+")


class Source(msgspec.Struct, frozen=True):
    """A source of a unit: its path in the image, and its place in the index."""

    path: str
    place: int


class Sent(msgspec.Struct):
    """What goes into the container: the index, each source once, and for each unit its sources and other bytecode."""

    index: list[tuple[str, int, int, bool]]
    places: dict[tuple[str, bytes], int]
    units: dict[str, list[Source]]
    taken: dict[str, set[str]]
    size: int = 0


class Told(msgspec.Struct, frozen=True):
    """What the interpreter says of itself."""

    version: str
    tag: str | None


class Back(msgspec.Struct, frozen=True):
    """The answer, a tar in a file: the interpreter, and where each source's pyc lies, by its place in the index."""

    told: Told
    where: dict[int, tuple[int, int]]


def compiled(units: Sequence[Unit], ready: Ready) -> tuple[Target | None, dict[str, Made]]:
    """Each unit's zip, by identity, and the target whose base compiled, if there was a source; all in one container.

    Raises ResolveError when no platform with this interpreter runs here.
    """
    with scratch.folder() as folder, progress.step("compiling bytecode"):
        with (folder / "sources").open("wb") as file:
            sent = _gathered(units, file)
        if not sent.index:
            return None, {unit.identity: Made() for unit in units}
        target = _run(ready, sent, folder)
        with (folder / "taken").open("rb") as file:
            back = _read(file, target)
            return target, {unit.identity: _zipped(unit, sent, back, file) for unit in units}


def prepared(group: Sequence[Target]) -> tuple[Target, str]:
    """The target that runs here, the engine's own if it can be, and its base's id in the engine.

    Raises ResolveError when none of them does.
    """
    native = engine.native()
    chosen = next((each for each in group if each.platform == native), None)
    if chosen is None:
        chosen = next((each for each in group if engine.runs(each.platform)), None)
    if chosen is None:
        names = " or ".join(each.platform for each in group)
        raise ResolveError(f"bytecode has to be compiled on {names}, which does not run here", _HINT)
    engine.clear_leftovers()  # whoever only packages has nothing else that would ever take them away
    return chosen, engine.ensure(chosen.base.reference, chosen.base.digest, chosen.platform)


def _gathered(units: Sequence[Unit], file: IO[bytes]) -> Sent:
    """Write the sources as the archives hold them; what several units hold at one path is there once."""
    sent = Sent([], {}, {}, {})
    for unit in units:
        sources, taken = [], set()
        for path, deflated, pieces in _sources(unit):
            if path.endswith(".pyc"):
                taken.add(path)
            else:
                sources.append(Source(path, _put(sent, path, deflated, b"".join(pieces), file)))
        sent.units[unit.identity], sent.taken[unit.identity] = sources, taken
    return sent


def _sources(unit: Unit) -> Iterator[tuple[str, bool, Iterator[bytes]]]:
    """Path, whether deflated, and stored bytes of each source; of bytecode that the archive has itself, the path."""
    for path, each in unit.files:
        yield path, False, content.chunks(each)
    if unit.entry is None or unit.archive is None:
        return
    skipped = frozenset(unit.entry.skip)
    with content.reading(unit.archive) as reader:
        for member in wheelzip.entries(reader):
            path = layer.destination(unit.entry, member.name)[0]
            if member.name not in skipped and compiles(path) and path.startswith(f"{unit.prefix}/"):
                yield path, member.method == wheelzip.DEFLATED, wheelzip.raw(reader, member)


def _put(sent: Sent, path: str, deflated: bool, stored: bytes, file: IO[bytes]) -> int:
    known = (path, hashlib.sha256(stored).digest() + bytes([deflated]))
    place = sent.places.setdefault(known, len(sent.index))
    if place == len(sent.index):
        sent.index.append((path, sent.size, len(stored), deflated))
        sent.size += file.write(stored)
    return place


def _run(ready: Ready, sent: Sent, folder: Path) -> Target:
    """Compile all of it in one container; the answer's tar lies in `taken` then."""
    try:
        target, image = ready.result()
        with (folder / "taken").open("wb") as into:
            ran = engine.run(
                image,
                [target.base.facts.interpreter, "-I", "-S", "-B", f"/{_FOLDER}/bytecode.py", f"/{_FOLDER}", "0"],
                put=_tar(sent, folder / "sources"),
                take=_OUT,
                into=into,
                platform=target.platform,
                workdir="/",
                user="0",
            )
    except (EngineError, SmokeError) as error:
        message = f"bytecode cannot be compiled: {error.message}"
        raise ResolveError(message, _HINT, error.output, transient=error.transient) from error
    if ran.code:
        raise ResolveError(f"bytecode cannot be compiled in {target.base.reference}", _HINT, ran.output)
    return target


def _tar(sent: Sent, sources: Path) -> Iterator[bytes]:
    """A folder with the program, the index and the sources."""
    yield tarform.encode(Header(_FOLDER, "dir", 0o755))
    for name, data in (("bytecode.py", assets.compiler()), ("index.json", msgspec.json.encode(sent.index))):
        yield tarform.encode(Header(f"{_FOLDER}/{name}", "file", size=len(data))) + data + tarform.padding(len(data))
    yield tarform.encode(Header(f"{_FOLDER}/sources", "file", size=sent.size))
    with sources.open("rb") as file:
        yield from iter(lambda: file.read(1 << 20), b"")
    yield tarform.padding(sent.size) + tarform.END


def _read(file: IO[bytes], target: Target) -> Back:
    """What came back. Raises ResolveError when the interpreter is not the one that cdaf.lock pins."""
    try:
        with tarfile.open(fileobj=file) as tar:
            members = {each.name.rpartition("/")[2]: each for each in tar if each.isfile()}
            told = typed.decode(_data(tar, members["told.json"]), Told)
            where: dict[int, tuple[int, int]] = {}
            for name in (name for name in members if name.removesuffix(".json").isdecimal()):
                begin = members[name.replace(".json", ".pyc")].offset_data
                rows = typed.decode(_data(tar, members[name]), list[tuple[int, int, int]])
                where |= {place: (begin + offset, size) for place, offset, size in rows}
    except (tarfile.TarError, KeyError, msgspec.MsgspecError) as error:
        raise ResolveError(f"the bytecode that {target.base.reference} made cannot be read: {error}", _HINT) from error
    pinned = target.base.facts.interpreter_version
    if not pinned.startswith(told.version) or not _TAG.fullmatch(told.tag or ""):
        raise ResolveError(
            f"{target.base.reference} has Python {told.version} ({told.tag}), and cdaf.lock has {pinned}",
            "run `cdaf lock --upgrade`, and commit cdaf.lock",
        )
    return Back(told, where)


def _data(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) or io.BytesIO()
    return file.read()


def _zipped(unit: Unit, sent: Sent, back: Back, file: IO[bytes]) -> Made:
    """The unit's zip in the store."""
    places: dict[str, int] = {}
    for source in sent.units[unit.identity]:
        folder, _, name = source.path.rpartition("/")
        path = f"{folder}/__pycache__/{name.removesuffix('.py')}.{back.told.tag}.pyc"
        # What the archive itself places there stays: its RECORD says so.
        if source.place in back.where and path not in sent.taken[unit.identity]:
            places[path.removeprefix(f"{unit.prefix}/")] = source.place
    if not places:
        return Made()
    members = ((name, _pyc(file, back.where[places[name]])) for name in sorted(places, key=str.encode))
    return Made(store.put(KIND, deflatezip.write(members))[0])


def _pyc(file: IO[bytes], where: tuple[int, int]) -> bytes:
    offset, size = where
    file.seek(offset)
    return file.read(size)

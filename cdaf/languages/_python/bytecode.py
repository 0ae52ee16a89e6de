"""Bytecode beside the sources of a plan: for each archive that is spread, a zip of pyc files (PEP 552) in its layer.

What is compiled hangs on the sources, on how the plan spreads them, on the base's interpreter, and on nothing else; so
it is kept by these, and only what is new starts the engine.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future

import msgspec

from cdaf import assets, store
from cdaf.images import content
from cdaf.images.content import Content, Contents
from cdaf.images.plan import ImagePlan, Layer, Place, Unpack
from cdaf.languages._python import wheel
from cdaf.languages._python.values import VENV, Target
from cdaf.languages._shared import memo

KIND = "bytecode"
APP = "/app"


class Unit(msgspec.Struct, frozen=True):
    """Sources that are compiled together and become one zip, which is spread below `prefix`.

    They are those that `entry` spreads from `archive`, or the `files` by their path in the image. `identity` is the
    name of what comes out, but for the base; `stem` the zip's name, for people.
    """

    identity: str
    stem: str
    prefix: str
    entry: Unpack | None = None
    archive: Content | None = None
    files: tuple[tuple[str, Content], ...] = ()


class Made(msgspec.Struct, frozen=True):
    """The zip that a unit became, by its digest in the store; empty when there was nothing to compile."""

    sha256: str = ""


Found = dict[str, Made]  # by identity
Ready = Future[tuple[Target, str]]  # the target whose base compiles, and the base's id in the engine
_ready: dict[tuple[Target, ...], Ready] = {}


def ahead(targets: Sequence[Target]) -> None:
    """Make the engine ready while something new is fetched or built, for it will have to be compiled."""
    for group in _groups([target for target in targets if not target.smoke]):
        if group not in _ready:
            _ready[group] = _readying(group)


def _groups(targets: Sequence[Target]) -> list[tuple[Target, ...]]:
    """The targets that have one interpreter, together."""
    versions = sorted({_version(target) for target in targets})
    return [tuple(target for target in targets if _version(target) == version) for version in versions]


def _readying(group: Sequence[Target]) -> Ready:
    ready: Ready = Future()

    def prepare() -> None:
        from cdaf.languages._python import compiling

        try:
            ready.set_result(compiling.prepared(group))
        except BaseException as error:
            ready.set_exception(error)

    threading.Thread(target=prepare, name="cdaf-bytecode", daemon=True).start()
    return ready


def compiles(name: str) -> bool:
    """Whether a file is a source of bytecode, or bytecode that stands beside one."""
    return name.endswith((".py", ".pyc"))


def add(
    images: Sequence[ImagePlan], targets: Sequence[Target], contents: Contents
) -> tuple[list[ImagePlan], dict[str, Content]]:
    """The plans with bytecode in every layer that has sources, and the zips by bundle member.

    `targets` are the images' own, in their order; `contents` what the layers read. Raises ResolveError when something
    is new and no platform with this interpreter runs here.
    """
    program = hashlib.sha256(assets.compiler()).hexdigest()
    kept: dict[str, Content] = {}
    layouts = [
        (image, target, [_units(layer, target, contents, program) for layer in image.layers])
        for image, target in zip(images, targets, strict=True)
    ]
    found: Found = {}
    for group in _groups(targets):
        wanted = [units for _, target, units in layouts if target in group]
        _make({unit.identity: unit for image in wanted for layer in image for unit in layer}, group, found)
    return [_with(image, units, found, kept) for image, _, units in layouts], kept


def _version(target: Target) -> str:
    return target.base.facts.interpreter_version


def _make(units: Mapping[str, Unit], group: Sequence[Target], found: Found) -> None:
    """Whatever platform's base compiles: what it makes serves all that have the same interpreter."""
    found |= {identity: known for identity in units if (known := _known(identity, group)) is not None}
    missing = [unit for identity, unit in units.items() if identity not in found]
    if missing:
        from cdaf.languages._python import compiling

        ready = _ready.pop(tuple(group), None) or _readying(group)
        target, new = compiling.compiled(missing, ready)
        for identity, made in new.items():
            memo.save(_name(identity, target or group[0]), made)
        found |= new


def _known(identity: str, group: Sequence[Target]) -> Made | None:
    for target in group:
        made = memo.load(_name(identity, target), Made)
        if made and (not made.sha256 or store.checked(KIND, made.sha256)):
            return made
    return None


def _name(identity: str, target: Target) -> str:
    return memo.key("bytecode", identity, target.base.digest)


def _units(layer: Layer, target: Target, contents: Contents, program: str) -> list[Unit]:
    """What is compiled for a layer: each archive's modules, and the service's own files at /app."""

    def identity(told: object) -> str:
        return memo.key("bytecode unit", program, _version(target), msgspec.json.encode(told, order="sorted"))

    found = []
    site = f"{VENV}/{wheel.site_packages(target.python)}"
    for entry in layer.entries:
        if isinstance(entry, Unpack) and entry.archive.endswith(".whl"):
            archive = contents[entry.archive]
            stem = entry.archive.rpartition("/")[2].removesuffix(".whl")
            found.append(Unit(identity([archive.sha256, entry, site]), stem, site, entry, archive))
    files = tuple(_files(layer, contents))
    if files:
        told = [(path, each.sha256) for path, each in files]
        found.append(Unit(identity(told), "app", APP, files=files))
    return found


def _files(layer: Layer, contents: Contents) -> Iterator[tuple[str, Content]]:
    for entry in layer.entries:
        if not isinstance(entry, Place) or entry.path.startswith(f"{VENV}/"):
            continue
        if entry.path.startswith(f"{APP}/") and compiles(entry.path):
            yield entry.path, contents[entry.member]


def _with(
    image: ImagePlan, units: Sequence[Sequence[Unit]], found: Mapping[str, Made], kept: dict[str, Content]
) -> ImagePlan:
    layers = []
    for layer, inside in zip(image.layers, units, strict=True):
        zips = [
            Unpack(_keep(kept, unit.stem, found[unit.identity].sha256, image.platform), unit.prefix)
            for unit in inside
            if found[unit.identity].sha256
        ]
        layers.append(msgspec.structs.replace(layer, entries=(*layer.entries, *zips)))
    return msgspec.structs.replace(image, layers=tuple(layers))


def _keep(kept: dict[str, Content], stem: str, sha256: str, platform: str) -> str:
    """The zip's name in the bundle: its archive's, and where another has it already, below the platform's."""
    zipped = content.of_file(store.path(KIND, sha256), sha256)
    for folder in ("", f"{platform.replace('/', '-')}/"):
        member = f"generated/bytecode/{folder}{stem}.zip"
        if kept.setdefault(member, zipped).sha256 == sha256:
            return member
    raise AssertionError(f"two zips want to be {member}")

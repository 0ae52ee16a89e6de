"""Building in the base's own image, without network: for wheels that hold machine code, and builds that need it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cdaf import engine, languages, store
from cdaf.bundles.manifest import Dependency
from cdaf.errors import ResolveError
from cdaf.images import content as bytes_of
from cdaf.images.content import Content
from cdaf.images.plan import Entry
from cdaf.languages._python import build, content, environment, lockfile, venv
from cdaf.languages._python.bench import Bench
from cdaf.languages._python.build import Made
from cdaf.languages._python.content import Spread
from cdaf.languages._python.source import Source
from cdaf.languages._python.values import VENV, Choice, Target, basename
from cdaf.languages._shared import container, scratch, tree
from cdaf.languages._shared.frame import Generated
from cdaf.net import fetch
from cdaf.projects.pins import Base, Build, Requirement

_SOURCE = "/build/source"
# Calls the backend (PEP 517) of the project in the current folder and prints the wheel's name as its last line.
_CALL = """\
import importlib, os, sys
name, path, out = sys.argv[1:]
sys.path[:0] = [os.path.abspath(each) for each in path.split(os.pathsep) if each]
module, _, attributes = name.partition(":")
backend = importlib.import_module(module)
for each in filter(None, attributes.split(".")):
    backend = getattr(backend, each)
print(backend.build_wheel(out))
"""


def refuse_foreign(choice: Choice, benches: Sequence[Bench]) -> None:
    """Raise ResolveError when one of the platforms does not run here, EngineError when there is no engine."""
    platforms = sorted({bench.target.platform for bench in benches})
    foreign = [each for each in platforms if not engine.runs(each)]
    if foreign:
        raise ResolveError(
            f"{choice.key} has to be built on {' and '.join(foreign)}, which does not run here",
            "lock a version that has wheels for it, package where it runs, or leave the platform out",
        )


def in_image(choice: Choice, source: Source, pinned: Build, told: Mapping[str, str], bench: Bench) -> Made:
    """Build in a container of the image, the build requirements laid out as a virtual environment.

    Raises ResolveError, with the backend's output, when the build fails.
    """
    image = Base(reference=bench.reference, platform=bench.target.platform, digest=bench.digest)
    with scratch.folder() as folder:
        (folder / "source").mkdir()
        laid = source.lay(folder / "source")
        entries, held = _requirements(laid, _fitting(pinned.requires, bench.target), bench.target)
        system = lockfile.manifest(laid / "pyproject.toml").get("build-system", {})
        backend = str(system.get("build-backend", "setuptools.build_meta:__legacy__"))
        path = ":".join(str(each) for each in system.get("backend-path", () if "build-backend" in system else (".",)))
        ran = container.run(
            image,
            [f"{VENV}/bin/python", "-c", _CALL, backend, path, container.OUT],
            entries,
            held,
            folder=_SOURCE,
            env={**variables(bench.target), **told},
            leaves=tree.laid(laid),
        )
        if ran.code:
            hint = "set build.image to an image that has the compiler and libraries it needs"
            raise ResolveError(f"{choice.key} cannot be built in {bench.reference}", hint, ran.output)
        built = _taken(ran.taken, folder, choice)
        _demand_fit(choice, built, bench)
        return build.keep(choice, source, pinned, told, built, bench.key)


def variables(target: Target) -> dict[str, str]:
    """What a command in a build's container knows of Python."""
    return {
        "PATH": venv.search_path(target),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CARGO_NET_OFFLINE": "true",
    }


def _fitting(requires: Sequence[Requirement], target: Target) -> list[Requirement]:
    from packaging.utils import parse_wheel_filename

    tags = frozenset(environment.tags(target.base.facts, target.platform))
    return [each for each in requires if parse_wheel_filename(basename(each.url))[3] & tags]


def _requirements(
    laid: Path, requires: Sequence[Requirement], target: Target
) -> tuple[list[Entry], dict[str, Content]]:
    """The build requirements as an environment."""
    archives = [_requirement(each, target) for each in requires]
    choices = [Choice(name=each.name, kind="wheel", filename=basename(each.url)) for each in requires]
    generated: Generated = {}
    entries, held = layout(content.spreads(laid, choices, archives, target), target, generated)
    return entries, held | {name: bytes_of.of_bytes(data) for name, data in generated.items()}


def layout(spread: Sequence[Spread], target: Target, generated: Generated) -> tuple[list[Entry], dict[str, Content]]:
    """How an environment is laid out, and the archives that it is made of."""
    again = content.repeated(spread, (), target)
    entries: list[Entry] = [*content.skeleton(target, generated)]
    entries += [entry for each in spread for entry in content.entries(each, target, again, generated)]
    held = {
        each.archive.dependency.archive: bytes_of.of_file(each.archive.path, each.archive.dependency.sha256)
        for each in spread
    }
    return entries, held


def _requirement(requirement: Requirement, target: Target) -> languages.Archive:
    return languages.Archive(
        store.path(fetch.KIND, requirement.sha256),
        Dependency(
            name=requirement.name,
            version=requirement.version,
            purl="",
            archive=f"deps/{basename(requirement.url)}",
            sha256=requirement.sha256,
            platforms=(target.platform,),
        ),
    )


def _taken(data: bytes, folder: Path, choice: Choice) -> Path:
    out = folder / "taken"
    failure = f"{choice.key}: what its build left cannot be taken"
    with tree.sound(failure, "mend its build"), tarfile.open(fileobj=io.BytesIO(data)) as taken:
        tree.untar(taken, out)
    built = sorted(out.rglob("*.whl"))
    if len(built) != 1:
        raise ResolveError(f"{choice.key}: its build backend made {len(built)} wheels, and one was asked for")
    return built[0]


def _demand_fit(choice: Choice, built: Path, bench: Bench) -> None:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        tags = parse_wheel_filename(built.name)[3]
    except InvalidWheelFilename as error:
        raise ResolveError(f"{choice.key}: its build backend made {built.name}, which is no wheel's name") from error
    if not tags & set(environment.tags(bench.target.base.facts, bench.target.platform)):
        raise ResolveError(
            f"{choice.key} was built in {bench.reference} as {built.name}, "
            f"which {bench.target.base.reference} cannot use",
            "set build.image to an image with the Python and the libc of the base",
        )

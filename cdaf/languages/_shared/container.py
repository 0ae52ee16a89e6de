"""Commands of a build in a container without network: what is put into it, what a command knows, what comes back.

Nothing comes from this machine.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from cdaf.errors import ResolveError
from cdaf.images import layer
from cdaf.images.coder import Stream
from cdaf.images.content import Content
from cdaf.images.plan import Dir, Entry, Layer, Link, Place
from cdaf.languages._shared import tree
from cdaf.languages._shared.tree import Leaf
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Base, Pins
from cdaf.projects.project import Project

if TYPE_CHECKING:
    from cdaf.engine import Ran

OUT = "/build/out"  # what is brought back from there
VARIABLES = {
    "HOME": "/tmp",  # noqa: S108 - in a container of its own
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "SOURCE_DATE_EPOCH": str(tree.TIME),
}
_BLOCK = 1 << 20
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Plain(Stream):
    """A tar as it stands: compressing what an engine unpacks at once takes longer than sending it."""

    splices = False

    def plain(self, data: bytes) -> None:
        """Add bytes as they are."""
        self._write(data)


def this() -> str:
    """The platform of this machine."""
    return f"linux/{_MACHINES.get(platform.machine(), platform.machine())}"


def nearest(platforms: Sequence[str]) -> str:
    """The platform of this machine if it is among those, else the first: for what comes out the same on all."""
    own = this()
    return next((each for each in platforms if each == own or each.startswith(f"{own}/")), platforms[0])


def image(project: Project, pins: Pins) -> Base:
    """Where [build] commands run: `[build] image`, else the base, for this machine's platform if it is one of them."""
    reference = project.settings.build.image or base_of(project)
    return pinned.base(pins, reference, nearest(project.settings.image.platforms))


def demand_here(platform: str, what: str, hint: str) -> None:
    """Raise ResolveError when a platform does not run here; `what` has to be done, as the message begins."""
    from cdaf import engine

    if not engine.runs(platform):
        raise ResolveError(f"{what} {platform}, which does not run here", hint)
    engine.clear_leftovers()  # whoever only packages has nothing else that would ever take them away


def run(
    image: Base,
    command: Sequence[str],
    entries: Sequence[Entry],
    contents: Mapping[str, Content],
    *,
    folder: str,
    env: Mapping[str, str] = {},
    leaves: Iterable[Leaf] = (),
) -> Ran:
    """Run a command in `folder` of a container of an image, where entries are laid out and leaves lie below it.

    What it leaves in `OUT` is brought back when it exits with 0. Raises EngineError.
    """
    from cdaf import engine

    known = engine.ensure(image.reference, image.digest, image.platform)
    with _passed_on(functools.partial(_tar, entries, contents, leaves, folder)) as put:
        return engine.run(
            known,
            command,
            put=put,
            take=OUT,
            env={**VARIABLES, **env},
            platform=image.platform,
            workdir=folder,
            user="0",
        )


@contextmanager
def _passed_on(write: Callable[[IO[bytes]], None]) -> Iterator[Iterator[bytes]]:
    """What `write` writes, while it writes; what fails there is raised in place of what comes of it elsewhere."""
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1, "cdaf-tar") as pool, os.fdopen(reading, "rb") as pipe:
        writer = pool.submit(_written, write, writing)
        try:
            yield _blocks(pipe, writer)
        except Exception:
            pipe.close()  # nobody reads on: a writer that still writes ends by that
            failed = writer.exception()
            if failed is None or isinstance(failed, BrokenPipeError):
                raise
            raise failed from None


def _written(write: Callable[[IO[bytes]], None], handle: int) -> None:
    with os.fdopen(handle, "wb", buffering=_BLOCK) as file:
        write(file)


def _blocks(pipe: IO[bytes], writer: Future[None]) -> Iterator[bytes]:
    while block := pipe.read(_BLOCK):
        yield block
    writer.result()  # an end that comes too early is none


def _tar(
    entries: Sequence[Entry],
    contents: Mapping[str, Content],
    leaves: Iterable[Leaf],
    below: str,
    file: IO[bytes],
) -> None:
    """One tar, written as a layer is: entries of a plan, files below a folder, and a place for what comes out."""
    held = dict(contents)
    laid: list[Entry] = [*entries, Dir(OUT), Dir(below)]
    for leaf in leaves:
        path = f"{below}/{leaf.name}"
        if leaf.link:
            laid.append(Link(path, leaf.link))
        else:
            held[path] = tree.content(leaf)
            laid.append(Place(path, path, 0o755 if leaf.executable else 0o644))
    stream = Plain(file, diff=False)
    layer.write(Layer("build", tuple(laid)), held, {}, stream)
    stream.finish()

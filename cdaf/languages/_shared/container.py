"""What is put into a build's container, and what a command knows there; nothing comes from this machine."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cdaf.images import content as bytes_of
from cdaf.images import layer
from cdaf.images.coder import Stream
from cdaf.images.content import Content
from cdaf.images.plan import Dir, Entry, Layer, Link, Place
from cdaf.languages._shared import tree
from cdaf.languages._shared.tree import Leaf

OUT = "/build/out"  # what is brought back from there
VARIABLES = {
    "HOME": "/tmp",  # noqa: S108 - in a container of its own
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "SOURCE_DATE_EPOCH": str(tree.TIME),
}
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


def tar(
    written: Path, entries: Sequence[Entry], contents: Mapping[str, Content], leaves: Iterable[Leaf], below: str
) -> Path:
    """One tar, written as a layer is: entries of a plan, files below a folder, and a place for what comes out."""
    held = dict(contents)
    laid: list[Entry] = [*entries, Dir(OUT), Dir(below)]
    for leaf in leaves:
        path = f"{below}/{leaf.name}"
        if leaf.link:
            laid.append(Link(path, leaf.link))
        else:
            held[path] = bytes_of.of_file(leaf.path)
            laid.append(Place(path, path, 0o755 if leaf.executable else 0o644))
    with written.open("wb") as file:
        stream = Plain(file, diff=False)
        layer.write(Layer("build", tuple(laid)), held, {}, stream)
        stream.finish()
    return written

"""The file system that an image's layers make, as a tree of names; files are read from the layers, nothing is unpacked.

Whiteouts, replaced folders, hard links and links in a path count as OCI image-spec layer.md and the engines have them.
"""

import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from cdaf.errors import ResolveError
from cdaf.images import oci, tarread, zstd

_OPAQUE = ".wh..wh..opq"
_WHITEOUT = ".wh."
_MOST_LINKS = 40
LARGEST = 1 << 26


class Node(msgspec.Struct):
    """A name in the tree; `source` is the member of layer number `layer` that has a file's content.

    `data` is that content where it was kept.
    """

    kind: Literal["file", "dir", "link", "other"]
    layer: int
    source: str = ""
    target: str = ""
    executable: bool = False
    size: int = 0
    data: bytes | None = None
    children: dict[str, "Node"] = {}


class Blob(msgspec.Struct, frozen=True):
    """A layer's tar in the store."""

    path: Path
    media_type: str


def tree(blobs: Sequence[Blob], keep: re.Pattern[str] | None = None) -> Node:
    """The tree that layers, lowest first, make; files whose name `keep` finds are read on the way.

    Raises ResolveError when a layer cannot be read.
    """
    root = Node("dir", 0)
    for number, blob in enumerate(blobs):
        with _opened(blob) as tar:
            for member in tarread.headers(tar):
                node = _add(root, member, number)
                if node and keep and member.size <= LARGEST and keep.search(member.name):
                    node.data = _content(tar, member)
    return root


def find(root: Node, path: str) -> tuple[str, Node] | None:
    """The node at a path and its real path, all links followed; None where there is none, or links run in a circle."""
    left, done = _parts(path), list[str]()
    nodes, links = [root], 0
    while left:
        part = left.pop(0)
        if part == "..":
            done, nodes = done[:-1], nodes[: max(1, len(nodes) - 1)]
            continue
        node = nodes[-1].children.get(part)
        if node is None:
            return None
        if node.kind == "link":
            links += 1
            if links > _MOST_LINKS:
                return None
            if node.target.startswith("/"):
                done, nodes = [], [root]
            left = _parts(node.target) + left
            continue
        done.append(part)
        nodes.append(node)
    return "/" + "/".join(done), nodes[-1]


def listing(root: Node, path: str) -> Mapping[str, Node]:
    """What stands in a folder; empty when there is no such folder."""
    found = find(root, path)
    return found[1].children if found else {}


def contents(blobs: Sequence[Blob], nodes: Mapping[str, Node], limit: int = LARGEST) -> dict[str, bytes]:
    """The content of files, by the caller's own keys; one longer than `limit` bytes is left out."""
    files = {key: node for key, node in nodes.items() if node.kind == "file" and node.size <= limit}
    found = {key: node.data for key, node in files.items() if node.data is not None}
    wanted: dict[tuple[int, str], list[str]] = {}
    for key in files.keys() - found.keys():
        wanted.setdefault((files[key].layer, files[key].source), []).append(key)
    for number in sorted({number for number, _ in wanted}):
        left = {source for layer, source in wanted if layer == number}
        with _opened(blobs[number]) as tar:
            for member in tarread.headers(tar):
                if member.name in left and member.isreg():
                    found |= dict.fromkeys(wanted[number, member.name], _content(tar, member))
                    left.discard(member.name)
                if not left:
                    break
    return found


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _add(root: Node, member: tarfile.TarInfo, layer: int) -> Node | None:
    """Enter a member; the node of a file's own content is returned."""
    parts = _parts(member.name)
    if not parts or ".." in parts:
        return None
    parent = _parent(root, parts[:-1], layer)
    name = parts[-1]
    if name == _OPAQUE:
        parent.children = {key: node for key, node in parent.children.items() if node.layer == layer}
    elif name.startswith(_WHITEOUT):
        _hide(parent, name.removeprefix(_WHITEOUT), layer)
    else:
        _put(root, parent, name, member, layer)
        return parent.children[name] if member.isreg() else None
    return None


def _hide(parent: Node, name: str, layer: int) -> None:
    node = parent.children.get(name)
    if node is not None and node.layer != layer:
        del parent.children[name]


def _put(root: Node, parent: Node, name: str, member: tarfile.TarInfo, layer: int) -> None:
    old = parent.children.get(name)
    if member.isdir():
        kept = old.children if old is not None and old.kind == "dir" else {}
        parent.children[name] = Node("dir", layer, children=kept)
    elif member.issym():
        parent.children[name] = Node("link", layer, target=member.linkname)
    elif member.islnk():
        linked = find(root, member.linkname)
        parent.children[name] = linked[1] if linked else Node("other", layer)
    elif member.isreg():
        executable = bool(member.mode & 0o111)
        parent.children[name] = Node("file", layer, member.name, executable=executable, size=member.size)
    else:
        parent.children[name] = Node("other", layer)


def _parent(root: Node, parts: list[str], layer: int) -> Node:
    """The folder that a member lands in: links on the way are followed, what is missing or no folder is made one."""
    node = root
    for depth, part in enumerate(parts):
        child = node.children.get(part)
        if child is not None and child.kind == "link":
            found = find(root, "/".join(parts[: depth + 1]))
            child = found[1] if found and found[1].kind == "dir" else None
        if child is None or child.kind != "dir":
            child = node.children[part] = Node("dir", layer)
        node = child
    return node


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


@contextmanager
def _opened(blob: Blob) -> Iterator[tarfile.TarFile]:
    import zlib

    with blob.path.open("rb") as raw:
        try:
            file, mode = _decompressed(raw, blob)
            with tarfile.open(fileobj=file, mode=mode) as tar:
                yield tar
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise ResolveError(
                f"layer sha256:{blob.path.name} cannot be read: {error}", "choose another base"
            ) from error


def _decompressed(raw: IO[bytes], blob: Blob) -> tuple[Any, Literal["r:", "r|"]]:
    kind = oci.canonical(blob.media_type)
    if kind == oci.LAYER_GZIP:
        import gzip

        return gzip.GzipFile(fileobj=raw), "r:"
    if kind == oci.LAYER_ZSTD:
        return zstd.inflated(raw), "r|"
    if kind == oci.LAYER:
        return raw, "r:"
    raise ResolveError(
        f"layer sha256:{blob.path.name} is of a kind that is not known here: {blob.media_type}", "choose another base"
    )


def join(*parts: str) -> str:
    """Paths put together, as in an image."""
    return posixpath.normpath(posixpath.join(*parts))

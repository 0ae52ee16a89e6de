"""Where the source of something to build comes from: an sdist in the store, a git commit, a folder's tracked files."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages._python import lockfile
from cdaf.languages._python.values import Choice
from cdaf.languages._shared import gitsource, tree
from cdaf.net import fetch
from cdaf.projects import steady

# PEP 517: what a source without [build-system] is built with; PEP 518 has the `requires`.
_LEGACY = ("setuptools>=40.8.0",)


class Source(msgspec.Struct, frozen=True):
    """A source: `identity` is the hash of its bytes, `lay` puts it into an empty folder and names where it begins."""

    identity: str
    lay: Callable[[Path], Path]


def of(choice: Choice, got: fetch.Got | None) -> Source:
    """The source of a choice; `got` is its archive when it is an sdist."""
    if choice.kind == "directory":
        return _directory(choice)
    if choice.kind == "git":
        return _git(choice)
    assert got is not None
    archive = got.path

    def lay(into: Path) -> Path:
        return _below(tree.unpack(archive, choice.filename, into), choice)

    return Source(got.sha256, lay)


def declared(folder: Path) -> tuple[str, ...]:
    """`[build-system] requires` of the source in `folder`, as it stands. Raises ProjectError when it is not TOML."""
    system = lockfile.manifest(folder / "pyproject.toml").get("build-system")
    return _LEGACY if system is None else tuple(sorted(str(each) for each in system.get("requires", ())))


def _directory(choice: Choice) -> Source:
    folder = Path(choice.directory)
    if not folder.is_dir():
        raise ProjectError(f"{choice.name}: {folder}, which uv.lock names, is no folder", "run `uv lock`")
    leaves = tree.tracked(folder)
    identity = tree.digest(leaves)

    def lay(into: Path) -> Path:
        if tree.digest(tree.copy(leaves, into)) != identity:
            raise steady.changed(str(folder))
        return _below(into, choice)

    return Source(identity, lay)


def _git(choice: Choice) -> Source:
    def lay(into: Path) -> Path:
        gitsource.lay(choice.name, choice.url, choice.commit, into)
        return _below(into, choice)

    return Source(choice.commit, lay)


def _below(folder: Path, choice: Choice) -> Path:
    below = Path(os.path.normpath(folder / choice.subdirectory))
    if not below.is_relative_to(folder) or not below.is_dir():
        raise ResolveError(f"{choice.name}: its source has no folder {choice.subdirectory}", "run `uv lock`")
    return below


def check_declared(choice: Choice, pinned: tuple[str, ...]) -> str:
    """What is wrong with the pinned build requirements of a local folder, if anything."""
    try:
        now = declared(Path(choice.directory) / choice.subdirectory)
    except CdafError as error:
        return error.message
    return (
        "" if now == pinned else f"{choice.name} is built with {', '.join(now)}, and cdaf.lock has {', '.join(pinned)}"
    )

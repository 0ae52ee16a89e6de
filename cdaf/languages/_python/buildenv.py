"""Environments that builds run in: a virtual environment of pinned wheels, kept between runs."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cdaf import places, process, store
from cdaf.errors import ResolveError
from cdaf.languages._python import lockfile
from cdaf.languages._python.values import basename
from cdaf.languages._shared import memo, scratch, tree
from cdaf.languages._shared.tree import Leaf
from cdaf.net import fetch
from cdaf.projects.pins import Requirement

_DONE = "cdaf-complete"


def wants(requires: Sequence[Requirement]) -> list[fetch.Want]:
    """The archives that these build requirements are."""
    return [
        fetch.Want(f"build requirement {each.name} {each.version}", each.url, {"sha256": each.sha256})
        for each in requires
    ]


def runs_here(requires: Sequence[Requirement]) -> bool:
    """Whether this machine's Python can use every one of these wheels."""
    from packaging.tags import sys_tags
    from packaging.utils import parse_wheel_filename

    known = frozenset(sys_tags())
    return all(parse_wheel_filename(basename(each.url))[3] & known for each in requires)


def ensure(requires: Sequence[Requirement]) -> Path:
    """The folder of a virtual environment that holds exactly these wheels, which are in the store.

    One that is kept from an earlier run is compared byte for byte with what was made then: a disk may have changed it,
    and so may a build that ran in it.
    """
    key = memo.key("buildenv", sys.executable, sys.version, *(each.sha256 for each in requires))
    folder = places.cache() / "build" / key[:32]
    with _alone(folder.with_suffix(".lock")):
        if not _is_intact(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, requires)
            (folder / _DONE).write_text(_digest(folder))
    return folder


def _is_intact(folder: Path) -> bool:
    try:
        return (folder / _DONE).read_text() == _digest(folder)
    except FileNotFoundError:
        return False


def _digest(folder: Path) -> str:
    """Names, modes, links and bytes of all that is in it."""
    paths = sorted(path for path in folder.rglob("*") if path != folder / _DONE)
    leaves = (
        Leaf(path.relative_to(folder).as_posix(), path, os.access(path, os.X_OK), _link(path))
        for path in paths
        if path.is_symlink() or path.is_file()
    )
    return tree.digest(leaves)


def _link(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else ""


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, requires: Sequence[Requirement]) -> None:
    uv, quiet = lockfile.binary(), ("--quiet", "--no-config", "--no-cache", "--offline", "--no-python-downloads")
    failure = "the environment for builds cannot be made"
    process.must([uv, "venv", *quiet, "--no-project", "--python", sys.executable, str(folder)], ResolveError, failure)
    if not requires:
        return
    with scratch.folder() as temporary:
        wheels = []
        for each in requires:
            wheels.append(temporary / basename(each.url))
            wheels[-1].symlink_to(store.path(fetch.KIND, each.sha256))
        install = [uv, "pip", "install", *quiet, "--python", str(folder / "bin" / "python"), "--no-deps", "--no-index"]
        process.must([*install, *map(str, wheels)], ResolveError, failure)

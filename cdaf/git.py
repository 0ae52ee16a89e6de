"""What git knows of a project: its commit, its tracked files, its tags."""

from pathlib import Path

import msgspec

from cdaf import process
from cdaf.errors import ProjectError

_ENV = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


class Head(msgspec.Struct, frozen=True):
    """The commit a work tree stands on; `time` is the committer's, seconds since the epoch."""

    root: Path
    commit: str
    time: int
    tags: tuple[str, ...]
    shallow: bool


class Tracked(msgspec.Struct, frozen=True):
    """One tracked path, relative to the work tree's root, with git's mode (100644, 100755, 120000, 160000)."""

    name: str
    mode: str


def head(folder: Path) -> Head:
    """The commit at HEAD. Raises ProjectError when there is no git, no repository or no commit."""
    if process.find("git") is None:
        raise ProjectError("git is not installed", "install git")
    told = _git(folder, "rev-parse", "--show-toplevel", "--is-shallow-repository")
    if told.code:
        raise ProjectError(
            f"{folder} is not in a git repository: what enters a bundle is decided by what git tracks",
            "run `git init`, then add and commit the service's files",
            "" if b"not a git repository" in told.stderr else told.stderr.decode(errors="replace").strip(),
        )
    top, shallow = told.stdout.decode().splitlines()
    logged = _git(folder, "log", "-1", "--format=%H%n%ct%n%D", "--decorate=full")
    if logged.code:
        raise ProjectError(f"{top} has no commit yet", "commit the service's files")
    commit, time, decorations = [*logged.stdout.decode().splitlines(), ""][:3]
    named = (name.removeprefix("tag: ") for name in decorations.split(", "))
    tags = tuple(sorted(name.removeprefix("refs/tags/") for name in named if name.startswith("refs/tags/")))
    return Head(Path(top), commit, int(time), tags, shallow == "true")


def tracked(folder: Path) -> tuple[Tracked, ...]:
    """Every tracked path below `folder`, relative to it. Raises ProjectError for a name that is not UTF-8."""
    listed = _must(folder, "ls-files", "-z", "--stage")
    names: dict[str, str] = {}
    for row in filter(None, listed.split(b"\0")):
        meta, _, name = row.partition(b"\t")
        try:
            names[name.decode()] = meta[:6].decode()
        except UnicodeDecodeError as error:
            raise ProjectError(
                f"{name!r} in {folder} is not a UTF-8 file name, and a bundle holds no other", "rename the file"
            ) from error
    return tuple(Tracked(name, mode) for name, mode in sorted(names.items()))


def changed(root: Path) -> frozenset[str]:
    """Tracked paths, relative to the root, that differ from HEAD: modified, added or deleted."""
    listed = _must(root, "status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames")
    return frozenset(row[3:].decode(errors="surrogateescape") for row in listed.split(b"\0") if row)


def describe(folder: Path) -> str | None:
    """The version in the nearest `v…` tag at or behind HEAD."""
    found = _git(folder, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    return found.stdout.decode().strip().removeprefix("v") if found.code == 0 else None


def _git(folder: Path, *words: str) -> process.Finished:
    return process.run(["git", "-C", str(folder), *words], env=_ENV)


def _must(folder: Path, *words: str) -> bytes:
    return process.must(
        ["git", "-C", str(folder), *words], ProjectError, f"git {words[0]} failed in {folder}", env=_ENV
    )

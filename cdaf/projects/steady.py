"""Whether what is packaged stayed as it was: HEAD, what git tracks, and every file that enters a bundle or a build.

A file's stamp is taken before anything is read, and looked at again when all is sealed but for the bundle's name.
Whatever writes to a file moves the time of its last change (`st_ctime`), and no program can set that one back: what
was changed in between, and be it changed back, is told without reading a byte again.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cdaf.errors import BundleError, ProjectError
from cdaf.projects import git

Stamp = tuple[int, ...]  # empty where there is no file
Stamps = Mapping[str, Stamp]  # by path
HINT = "package again when nothing changes them"
_SUBMODULE = "160000"
_SECOND = 1_000_000_000
_TICK = _SECOND // 50  # nanoseconds: the times of files step by no more than 10 ms, on Linux
_COARSE = 2 * _SECOND + _TICK  # where a file system keeps whole seconds, or every other one
_NAMED = 5


class Seen(msgspec.Struct, frozen=True):
    """A repository before it was read: its commit, and what it tracks by name with each file's stamp.

    `names` are those that enter, relative to `top`, tracked or not; of `folders`, as beginnings of names, all enter;
    `differing` are those of them that differ from the commit.
    """

    top: Path
    commit: str
    listed: dict[str, git.Tracked]
    stamps: dict[str, Stamp]
    names: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    differing: frozenset[str] = frozenset()


def beside(folder: Path) -> dict[str, Stamp]:
    """The stamps of the files right in a folder, whether git tracks them or not."""
    try:
        stamps = {str(path): _stamp(str(path)) for path in folder.iterdir()}
    except OSError:
        return {}
    found = {path: stamp for path, stamp in stamps.items() if stamp and not stat.S_ISDIR(stamp[3])}
    _outwait(found.values())
    return found


def look(head: git.Head, root: Path, early: Stamps) -> Seen:
    """The repository as it is now; `early` are stamps of files that were read before it was known."""
    top = head.root.resolve()
    listed = {entry.name: entry for entry in git.tracked(top)}
    stamps = _stamps(_inside(top, (entry.name for entry in listed.values() if entry.mode != _SUBMODULE)))
    for folder in root.parents:
        if folder.is_relative_to(top):
            stamps |= beside(folder)
    return Seen(top, head.commit, listed, {**stamps, **early})


def below(seen: Seen, root: Path) -> dict[str, git.Tracked]:
    """What git tracks below a folder, by its name there."""
    if root == seen.top:
        return seen.listed
    start = f"{root.relative_to(seen.top).as_posix()}/"
    inside = ((name.removeprefix(start), each) for name, each in seen.listed.items() if name.startswith(start))
    return {name: msgspec.structs.replace(each, name=name) for name, each in inside}


def entering(seen: Seen, inputs: Iterable[Path]) -> Seen:
    """The same with what enters, of files and folders.

    Raises ProjectError when HEAD moved already.
    """
    status = git.status(seen.top)
    if status.commit != seen.commit:
        raise ProjectError(_message([], seen.commit, status.commit), HINT)
    known = {*seen.listed, *status.changed}
    names, starts = _named(seen.top, inputs, known)
    names |= {name for name in known if name.startswith(starts)} | _around(seen, starts)
    unsaid = [seen.listed[name] for name in sorted(names - status.changed) if name in seen.listed]
    differing = (names - known) | (names & status.changed) | git.differing(seen.top, unsaid)
    # What was not there is ours: cdaf.lock, if there was none.
    new = _stamps(path for path in _inside(seen.top, names) if not seen.stamps.get(path))
    stamps = seen.stamps | new
    return Seen(seen.top, seen.commit, seen.listed, stamps, frozenset(names), starts, frozenset(differing))


def _around(seen: Seen, starts: Iterable[str]) -> set[str]:
    """The submodules that the folders are in: of their files, git says only whether any of them differs."""
    modules = [name for name, each in seen.listed.items() if each.mode == _SUBMODULE]
    return {name for name in modules for start in starts if start.startswith(f"{name}/")}


def _named(top: Path, inputs: Iterable[Path], known: set[str]) -> tuple[set[str], tuple[str, ...]]:
    """The files among the inputs, and how the names of all in their folders begin; nothing outside of the top."""
    names: set[str] = set()
    starts: set[str] = set()
    for path in {place for each in inputs for place in _places(each)}:
        name = path.relative_to(top).as_posix() if path.is_relative_to(top) else ""
        if path.is_symlink():
            names |= {name} & known
        elif path.is_dir() and (name or path == top):
            starts.add("" if name == "." else f"{name}/")
        elif name:
            names.add(name)
    return names, tuple(sorted(starts))


def _places(path: Path) -> tuple[Path, Path]:
    """Where a file is, and where it leads to when it is a link."""
    return Path(os.path.realpath(path.parent), path.name), Path(os.path.realpath(path))


@contextmanager
def watched(seen: Seen) -> Iterator[Callable[[], None]]:
    """Package within the block, and call what it yields when all is done but the last step.

    Raises ProjectError when HEAD or anything that enters is no longer what it was, there or where a file cannot be
    read as it was.
    """
    try:
        yield lambda: demand(seen)
    except (OSError, BundleError):
        demand(seen)
        raise


def demand(seen: Seen) -> None:
    """Raise ProjectError when HEAD or anything that enters is no longer what it was."""
    found, commit = _changed(seen), git.commit(seen.top)
    if found or commit != seen.commit:
        raise ProjectError(_message(found, seen.commit, commit), HINT)


def _changed(seen: Seen) -> list[str]:
    listed = {entry.name: entry.mode for entry in git.tracked(seen.top)}
    names = {*seen.names, *(name for name in listed if name.startswith(seen.folders))}
    found = {name for name in names if not _is_same(seen, name, listed.get(name, ""))}
    if any(listed.get(name) == _SUBMODULE for name in names):
        found |= names & git.status(seen.top).changed - seen.differing
    return sorted(found)


def _is_same(seen: Seen, name: str, mode: str) -> bool:
    then, path = seen.listed.get(name), f"{seen.top}/{name}"
    return (then.mode if then else "") == mode and (mode == _SUBMODULE or seen.stamps.get(path) == _stamp(path))


def _message(found: list[str], then: str, now: str) -> str:
    moved = f"HEAD was {then[:12]}, and is {now[:12]}" if then != now else ""
    if not found:
        return f"another commit was made or checked out while this one was packaged: {moved}"
    named = _told(found)
    return f"{named}; {moved}" if moved else named


def changed(*names: str) -> ProjectError:
    """The error for files that somebody writes to meanwhile: what is sealed would be of no commit."""
    return ProjectError(_told(names), HINT)


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"files changed while they were packaged: {', '.join(names[:_NAMED])}{more}"


def _inside(folder: Path, names: Iterable[str]) -> Iterator[str]:
    return map(f"{folder}/".__add__, names)


def _stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    found = {path: _stamp(path) for path in paths}
    _outwait(found.values())
    return found


def _stamp(path: str) -> Stamp:
    try:
        facts = os.lstat(path)
    except OSError:
        return ()
    return facts.st_ctime_ns, facts.st_mtime_ns, facts.st_size, facts.st_mode, facts.st_ino, facts.st_dev


def _outwait(stamps: Iterable[Stamp]) -> None:
    """Let time go on until no change can leave a file with a stamp that it has already.

    What changes within one step of the clock has one time: of what changed just now, a stamp would tell no second
    change. So nothing is read before the next step.
    """
    now = time.time_ns()
    recent = (stamp[0] for stamp in stamps if stamp and now - _COARSE < stamp[0] <= now)
    until = max((each + (_TICK if each % _SECOND else _COARSE) for each in recent), default=now)
    if until > now:
        time.sleep((until - now) / _SECOND)

"""Packaging a second time where everything is another one: folder, umask, time zone, locale, hash seed, processors,
host's name, user's name, time, and a cache that holds nothing that was made here.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cdaf import places, process, progress
from cdaf.bundles import bundle
from cdaf.bundles.bundle import Bundle
from cdaf.errors import ProjectError
from cdaf.languages._shared import scratch
from cdaf.projects import git, pins

HOST, USER = "elsewhere", "nobody-known"
_FETCHED = ("archives", "blobs")  # kinds of the cache that hold what others made; all other kinds are made here
_TICK = 2.0  # seconds: the coarsest step of the times that archives hold (zip)
_START = """\
import os, sys
where, mask, processor = sys.argv[1:4]
del sys.argv[1:4]
sys.path.insert(0, where)
os.umask(int(mask, 8))
os.sched_setaffinity(0, [int(processor)])
from cdaf.__main__ import main
main()
"""
_RENAMED = f'echo {HOST} > /proc/sys/kernel/hostname && exec "$@"'


class Again(msgspec.Struct, frozen=True):
    """The second bundle, and the folder that the service was packaged from."""

    sealed: Bundle
    root: Path


@contextmanager
def package(first: Bundle, root: Path, words: Sequence[str]) -> Iterator[Again]:
    """Package the service in `root` once more, with these further options, from a copy of its repository.

    Raises ProjectError when that fails where the first time succeeded.
    """
    with scratch.folder() as folder:
        place = _copy(first, root, folder / "some" / "where else")
        _demand_tick(first)
        command = [*_host(), sys.executable, "-P", "-c", _START, *_conditions()]
        options = ["package", str(place), "--out", f"{folder}/out", "--locked", "--json", *words]
        with progress.step("packaging again, elsewhere"):
            done = process.run([*command, *options], cwd=folder, env=_environment(folder))
        told = _answer(done)
        if done.code:
            error = told.get("error") or {}
            raise ProjectError(
                f"packaged a second time, in another folder and from nothing, it fails: {error.get('message', '')}",
                str(error.get("hint", "")),
                done.stderr.decode(errors="replace"),
                transient=bool(error.get("transient")),
            )
        yield Again(bundle.open(Path(told["path"])), place)


def _answer(done: process.Finished) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    except ValueError:
        return {}


def _copy(first: Bundle, root: Path, into: Path) -> Path:
    """The service's folder in a copy of its repository; where it builds from beyond that, the folder itself."""
    if any((each.built_from or "").startswith("..") for each in first.manifest.dependencies):
        progress.note(
            "what is built from outside of the repository is built there again: only the folder stays the same"
        )
        return root
    found = git.head(root)
    into /= found.root.name  # a service may have its name from there
    git.duplicate(found, into)
    place = into / root.resolve().relative_to(found.root.resolve())
    if not (place / pins.NAME).exists():
        shutil.copy(root / pins.NAME, place)
    return place


def _demand_tick(first: Bundle) -> None:
    """A time that a build writes down is another one only when some has passed."""
    time.sleep(max(0.0, min(_TICK, _TICK - (time.time() - first.path.stat().st_mtime))))


def _conditions() -> list[str]:
    """Where cdaf lies, and another umask and the one processor to work with."""
    mask = os.umask(0o022)
    os.umask(mask)
    processor = min(os.sched_getaffinity(0))
    return [str(Path(__file__).parents[2]), "022" if mask == 0o077 else "077", str(processor)]


def _environment(folder: Path) -> Mapping[str, str]:
    told = {
        "CDAF_CACHE": str(_fresh_cache(folder / "cache")),
        "TZ": "Pacific/Kiritimati" if os.environ.get("TZ") != "Pacific/Kiritimati" else "America/Lima",
        "LC_ALL": "C" if os.environ.get("LC_ALL") != "C" else "C.UTF-8",
        "PYTHONHASHSEED": "4711" if os.environ.get("PYTHONHASHSEED") != "4711" else "4712",
        "CDAF_DOCKER_CACHE": "false",
    }
    return {**told, "USER": USER, "LOGNAME": USER, "HOSTNAME": HOST, "TMPDIR": str(_made(folder / "tmp"))}


def _host() -> list[str]:
    """The words that start a program on a machine of another name; none where that may not be."""
    words = ["unshare", "--uts", "sh", "-c", _RENAMED, "sh"]
    allowed = process.find("unshare") and process.run([*words, "true"]).code == 0
    return words if allowed else []


def _fresh_cache(place: Path) -> Path:
    """A cache that knows only what was fetched."""
    old = places.cache().absolute()
    _made(place)
    for kind in _FETCHED:
        (old / kind).mkdir(parents=True, exist_ok=True)
        (place / kind).symlink_to(old / kind, target_is_directory=True)
    return place


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder

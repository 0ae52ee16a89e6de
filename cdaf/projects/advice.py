"""What nothing forbids and hardly anybody means: told as warnings, once the project is found to be right."""

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from cdaf import progress
from cdaf.projects import git
from cdaf.projects.patterns import matching
from cdaf.settings.settings import Settings

_JUNK = re.compile(r"(?:^|/)(?:\.|__pycache__/|node_modules/|venv/|[^/]*\.egg-info/)|(?:~|/|\.pyc)$")
_NAMED = 5


@contextmanager
def untracked(root: Path) -> Iterator[Future[tuple[str, ...]]]:
    """What git does not track below `root`, found out while the block asks git for other things."""
    from cdaf.net import transfers

    with transfers.workers(1) as pool:
        yield pool.submit(git.untracked, root)


def on_tags(number: str, tags: Iterable[str]) -> None:
    """Warn of a commit whose tags name other versions than the project's own."""
    others = [tag for tag in tags if re.match("v[0-9]", tag)]
    if others and f"v{number}" not in others:
        progress.warn(f"the commit is tagged {', '.join(others)}, and the project says {number}: no release of it")


def on_forgotten(settings: Settings, taken: Iterable[str], names: Iterable[str]) -> None:
    """Warn of files, by the names that git does not track, that would enter if it did.

    `taken` are patterns of what the language takes beyond [service] include.
    """
    found = forgotten(settings, taken, names)
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        told = f"{', '.join(found[:_NAMED])}{more}"
        way = f"`git add` {'it' if len(found) == 1 else 'them'}, or let .gitignore say that it is meant"
        progress.warn(f"not tracked by git, so not in the bundle: {told}; {way}")


def forgotten(settings: Settings, taken: Iterable[str], names: Iterable[str]) -> list[str]:
    """Those of the names that a pattern takes; neither junk nor what [build] makes."""
    smoke = settings.smoke
    wanted = [*settings.service.include, *taken, *smoke.compose, *(smoke.files if smoke.checks else ())]
    likely = [name for name in names if not _JUNK.search(name)]
    made = _matched(settings.build.outputs, likely)
    return sorted(_matched(wanted, likely) - made)


def _matched(patterns: Iterable[str], names: Sequence[str]) -> set[str]:
    return {name for pattern in patterns for name in matching(pattern, names)}


def on_smoke(settings: Settings, *, whole: bool) -> None:
    """Warn of a smoke test that asks next to nothing; an image that comes `whole` may have a health check in it."""
    if not whole and settings.smoke.health is None and not settings.smoke.checks:
        asked = "something listens on the port" if settings.service.port else "the container stays up"
        progress.warn(f"the smoke test asks only that {asked}: set smoke.health or smoke.checks to have it ask more")

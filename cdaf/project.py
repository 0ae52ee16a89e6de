"""The project as it stands on disk: settings, name, version, commit, tracked files."""

from pathlib import Path

import msgspec

from cdaf.settings import Settings
from cdaf.versions import Version


class Source(msgspec.Struct, frozen=True):
    """The commit a project stands on; `time` is its committer date in seconds since the epoch."""

    time: int
    repository: str | None = None
    commit: str | None = None
    dirty: bool = False


class File(msgspec.Struct, frozen=True):
    """One file that enters the bundle: `name` relative to the service with `/`, and whether any execute bit is set."""

    name: str
    path: Path
    executable: bool


class Project(msgspec.Struct, frozen=True):
    """A service before anything is resolved."""

    root: Path  # the service's folder
    repository: Path | None  # the git work tree's root
    settings: Settings
    name: str
    version: Version
    language: str
    source: Source
    files: tuple[File, ...]  # by [service] include
    checks: tuple[File, ...]  # by [smoke] files
    compose: tuple[File, ...]  # by [smoke] compose

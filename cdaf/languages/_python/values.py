"""What crosses between the parts of the Python language."""

from pathlib import PurePosixPath

import msgspec

from cdaf.projects.pins import Base

VENV = "/app/.venv"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the lock names, and the platforms it is for.

    `kind` says what it is: a `wheel` to spread, an `sdist` to fetch and build, a `git` commit or a `directory` to
    build. `url` has no credentials; a `file:` URL or an absolute path stands for an archive on this machine, and
    `directory` is a folder's path. `requires` names what it needs, of what the lock names. `main` are the platforms
    whose image holds it, `smoke` those whose checks do.
    """

    name: str
    kind: str
    version: str = ""
    filename: str = ""
    url: str = ""
    hashes: dict[str, str] = {}
    size: int | None = None
    directory: str = ""
    commit: str = ""
    subdirectory: str = ""
    requires: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in `cdaf.lock`: sdists by version too, for theirs is the lock's to say."""
        return f"{self.name}=={self.version}" if self.kind == "sdist" and self.version else self.name

    @property
    def platforms(self) -> tuple[str, ...]:
        """Every platform that needs it."""
        return tuple(sorted({*self.main, *self.smoke}))


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One environment to fill: the image's of a platform, or with `smoke` the checks' own base."""

    platform: str
    base: Base
    smoke: bool = False

    @property
    def python(self) -> str:
        """The interpreter's feature version, "3.13"."""
        return ".".join(self.base.facts.interpreter_version.split(".")[:2])


def basename(url: str) -> str:
    """The file's name at the end of a URL or path, percent-decoded."""
    from urllib.parse import unquote, urlsplit

    return unquote(PurePosixPath(urlsplit(url).path).name)

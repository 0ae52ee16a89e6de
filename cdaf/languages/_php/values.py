"""What crosses between the parts of the PHP language."""

from __future__ import annotations

import msgspec

VENDOR = "/app/vendor"
LOCK, MANIFEST = "composer.lock", "composer.json"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that composer.lock names.

    `kind` says what it is: an `archive` to fetch, a `git` commit, a `path` (folder) of the repository, or `meta`, which
    has no files. `form` is the archive's own, `zip` or `tar`. `urls` are tried in turn; `shasum` is the lock's SHA-1,
    often empty. `needs` are all requirements with their constraints, platform ones included; `requires` names the
    packages among them that the lock has. `provides` are the names it stands in for, with versions.
    """

    name: str
    version: str
    kind: str
    form: str = "zip"
    urls: tuple[str, ...] = ()
    shasum: str = ""
    commit: str = ""
    directory: str = ""
    type: str = "library"
    needs: dict[str, str] = {}
    provides: dict[str, str] = {}
    requires: tuple[str, ...] = ()
    license: str = ""
    bins: tuple[str, ...] = ()
    dev: bool = False

    @property
    def label(self) -> str:
        """For people: name and version."""
        return f"{self.name} {self.version}"

    @property
    def is_written_anew(self) -> bool:
        """Whether its archive is the canonical one of its content tree, and not upstream's own bytes."""
        return self.kind != "archive" or not self.shasum

    @property
    def is_plugin(self) -> bool:
        """Whether Composer would run code of it."""
        return self.type in ("composer-plugin", "composer-installer")

"""One version, four spellings: file, tag, PEP 440 and semver."""

import re

import msgspec

from cdaf.errors import ProjectError

_SEMVER = re.compile(r"^(\d+)\.(\d+)(?:\.(\d+))?(.*)$")


class Version(msgspec.Struct, frozen=True):
    """A service's version: its release number, and for a snapshot the commit it stands on.

    `number` is what the project or its tag says ("1.4.0"); `commit` is empty for a release; `dirty` when a file that
    enters the bundle differs from that commit.
    """

    number: str
    commit: str = ""
    dirty: bool = False

    @property
    def is_release(self) -> bool:
        """Whether `{version}` may be a tag."""
        return not self.commit

    @property
    def semver(self) -> str:
        """SemVer 2.0.0: `1.4.0+g1a2b3c4d5e6f`."""
        return self.number if self.is_release else f"{self.number}+{self._local}"

    @property
    def pep440(self) -> str:
        """PEP 440: the commit as a local version label; a semver pre-release is respelt."""
        from packaging.version import InvalidVersion
        from packaging.version import Version as Pep440

        try:
            number = str(Pep440(self.number))
        except InvalidVersion as error:
            raise ProjectError(
                f"version {self.number!r} has no PEP 440 spelling", "use a version such as 1.4.0"
            ) from error
        return number if self.is_release else f"{number}+{self._local}"

    @property
    def file(self) -> str:
        """As it stands in the bundle's file name; the same as semver."""
        return self.semver

    @property
    def tag(self) -> str:
        """As an image tag, which has no `+` (OCI distribution-spec, pulling manifests)."""
        return self.semver.replace("+", "-")

    @property
    def _local(self) -> str:
        return f"g{self.commit[:12]}" + (".dirty" if self.dirty else "")


def parse(semver: str) -> Version:
    """The version that `Version.semver` spelt."""
    number, _, local = semver.partition("+")
    if not local.startswith("g"):
        return Version(semver)
    return Version(number, local[1:13], local.endswith(".dirty"))


def fields(version: Version, commit: str | None) -> dict[str, str]:
    """What a tag template may name: version, commit, major, minor, patch."""
    found = _SEMVER.match(version.number)
    major, minor, patch = (
        (found.group(1), found.group(2), found.group(3) or "0") if found else (version.number, "0", "0")
    )
    return {"version": version.tag, "commit": (commit or "")[:12], "major": major, "minor": minor, "patch": patch}

"""One table: the four spellings of any version."""

import pytest

from cdaf.errors import ProjectError
from cdaf.versions import Version, fields, parse

COMMIT = "1a2b3c4d5e6f7a8b9c0d"


@pytest.mark.parametrize(
    ("version", "semver", "tag", "pep440"),
    [
        (Version("1.4.0"), "1.4.0", "1.4.0", "1.4.0"),
        (Version("1.4.0-rc.1"), "1.4.0-rc.1", "1.4.0-rc.1", "1.4.0rc1"),
        (Version("1.4.0", COMMIT), "1.4.0+g1a2b3c4d5e6f", "1.4.0-g1a2b3c4d5e6f", "1.4.0+g1a2b3c4d5e6f"),
        (
            Version("1.4.0", COMMIT, dirty=True),
            "1.4.0+g1a2b3c4d5e6f.dirty",
            "1.4.0-g1a2b3c4d5e6f.dirty",
            "1.4.0+g1a2b3c4d5e6f.dirty",
        ),
    ],
)
def test_spellings(version: Version, semver: str, tag: str, pep440: str) -> None:
    assert (version.semver, version.file, version.tag, version.pep440) == (semver, semver, tag, pep440)
    assert parse(semver).semver == semver
    assert parse(semver).is_release == version.is_release


def test_what_tags_may_name() -> None:
    assert fields(Version("1.4.0"), COMMIT) == {
        "version": "1.4.0",
        "commit": COMMIT[:12],
        "major": "1",
        "minor": "4",
        "patch": "0",
    }


def test_a_version_without_a_pep440_spelling() -> None:
    with pytest.raises(ProjectError, match="no PEP 440 spelling"):
        _ = Version("1.x").pep440

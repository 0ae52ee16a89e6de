"""Git dependencies: one commit, as it is, and nothing that a lock says is taken for an option."""

import subprocess
from pathlib import Path

import pytest

from cdaf.errors import ResolveError
from cdaf.languages._shared import gitsource
from tests import makers


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def head(root: Path) -> str:
    asked = ["git", "-C", str(root), "rev-parse", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_a_commit_is_laid_out(tmp_path: Path, form: str) -> None:
    made = makers.repository(tmp_path / "made", {"a/b.txt": "x\n"})
    into = tmp_path / "into"
    into.mkdir()
    gitsource.lay("thing", form.format(made), head(made), into)
    assert (into / "a" / "b.txt").read_text() == "x\n"


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch {};",
        "ext::touch {}",
        "-c",
        "ssh://-oProxyCommand=touch%20{}/x",
        "file://-x",
        "https://a b",
        "x\0y",
        "",
    ],
)
def test_an_address_is_no_command(tmp_path: Path, url: str) -> None:
    touched = tmp_path / "touched"
    with pytest.raises(ResolveError, match="is no place that git fetches from"):
        gitsource.fetched("thing", url.format(touched), "a" * 40)
    assert not touched.exists()
    assert not (tmp_path / "cache" / "git").exists()


@pytest.mark.parametrize("commit", ["main", "--upload-pack=x", "a" * 39, "A" * 40, ""])
def test_a_commit_is_a_whole_hash(commit: str) -> None:
    with pytest.raises(ResolveError, match="is no place that git fetches from"):
        gitsource.fetched("thing", "https://git.example/x", commit)


def test_no_login_is_told() -> None:
    with pytest.raises(ResolveError) as raised:
        gitsource.fetched("thing", "hg+https://me:secret@git.example/x", "a" * 40)
    assert "secret" not in str(raised.value)

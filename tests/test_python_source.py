"""Where sources to build come from: what a git commit becomes hangs on the commit alone."""

from pathlib import Path

import pytest

from cdaf.errors import ResolveError
from cdaf.languages._python import source
from cdaf.languages._python.values import Choice
from cdaf.languages._shared import tree
from tests import pykit


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def gitted(folder: Path) -> Choice:
    pykit.commit(folder)
    commit = pykit.run("git", "rev-parse", "HEAD", cwd=folder).strip()
    return Choice(name="gitted", kind="git", url=f"file://{folder}", commit=commit)


def laid(choice: Choice, into: Path) -> str:
    into.mkdir()
    source.of(choice, None).lay(into)
    return tree.digest(tree.tracked(into))


def test_no_setting_of_the_user_reaches_a_git_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pykit.write(tmp_path / "gitted", {"a.txt": "one\ntwo\n", "run": "#!/bin/sh\n"})
    (folder / "run").chmod(0o755)
    choice = gitted(folder)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    plain = laid(choice, tmp_path / "plain")
    (tmp_path / "attributes").write_text("a.txt export-ignore\n")
    (tmp_path / "config").write_text(
        f"[core]\nautocrlf = true\nattributesFile = {tmp_path / 'attributes'}\n[tar]\numask = 0777\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert laid(choice, tmp_path / "odd") == plain


def test_a_git_source_whose_links_leave_it_is_refused(tmp_path: Path) -> None:
    folder = pykit.write(tmp_path / "gitted", {"a.txt": "a"})
    (folder / "out").symlink_to("/etc/passwd")
    choice = gitted(folder)
    with pytest.raises(ResolveError, match="leaves the archive"):
        laid(choice, tmp_path / "laid")

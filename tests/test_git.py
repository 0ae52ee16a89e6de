"""What git knows is asked so that no setting of a user or machine changes the answer."""

from pathlib import Path

import pytest

from cdaf.errors import ProjectError
from cdaf.projects import git
from tests import makers


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return makers.repository(tmp_path / "tree", {"a.txt": "one\ntwo\n", "b.txt": "b\n", "d/c.txt": "c\n"})


def differing(root: Path) -> frozenset[str]:
    return git.differing(root, git.tracked(root))


def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "gitconfig").write_text(text)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


def test_no_setting_hides_a_tag(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makers.git(tree, "tag", "v1.0")
    makers.git(tree, "tag", "-a", "-m", "annotated", "v1.1")
    configured(tmp_path, monkeypatch, "[log]\nexcludeDecoration = refs/tags/*\nshowSignature = true\ndecorate = no\n")
    assert git.head(tree).tags == ("v1.0", "v1.1")


def test_a_hook_of_another_repository_changes_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = makers.repository(tmp_path / "other", {"x": "x"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert git.head(tree).root == tree
    assert [entry.name for entry in git.tracked(tree)] == ["a.txt", "b.txt", "d/c.txt"]


def test_a_folder_with_a_line_end_in_its_name(tmp_path: Path) -> None:
    odd = makers.repository(tmp_path / "two\nlines", {"a": "a"})
    assert git.head(odd).root == odd


def test_a_repository_of_another_user(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(tmp_path, monkeypatch, "")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ProjectError, match="belongs to another user") as caught:
        git.head(tree)
    assert "safe.directory" in caught.value.hint


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_marked_as_unchanged_is_compared_all_the_same(tree: Path, mark: str) -> None:
    makers.git(tree, "update-index", mark, "a.txt")
    assert differing(tree) == set()
    (tree / "a.txt").write_text("other\n")
    assert "a.txt" not in git.status(tree).changed, "git's own status keeps silent"
    assert differing(tree) == {"a.txt"}


def test_a_file_that_a_sparse_checkout_leaves_out_differs(tree: Path) -> None:
    makers.git(tree, "sparse-checkout", "set", "--no-cone", "/a.txt")
    assert differing(tree) == {"b.txt", "d/c.txt"}


def test_line_ends_of_one_machine_differ(tree: Path) -> None:
    makers.git(tree, "config", "core.autocrlf", "true")
    for name in ("a.txt", "b.txt"):
        (tree / name).unlink()
        makers.git(tree, "checkout", "--", name)
    assert (tree / "a.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert git.status(tree).changed == set()
    assert differing(tree) == {"a.txt", "b.txt"}


def test_what_the_repository_asks_for_is_no_difference(tmp_path: Path) -> None:
    files = {".gitattributes": "*.bat text eol=crlf\n*.id ident\n", "a.bat": "one\r\n", "b.id": "$Id$\n"}
    tree = makers.repository(tmp_path / "tree", files)
    (tree / "b.id").unlink()
    makers.git(tree, "checkout", "--", "b.id")
    assert b"$Id: " in (tree / "b.id").read_bytes()
    assert differing(tree) == set()
    (tree / "a.bat").write_bytes(b"two\r\n")
    assert differing(tree) == {"a.bat"}


def test_the_users_own_attributes_excuse_nothing(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "attributes").write_text("*.txt text eol=crlf\n")
    configured(tmp_path, monkeypatch, f"[core]\nattributesFile = {tmp_path / 'attributes'}\n")
    (tree / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    assert differing(tree) == {"a.txt"}


def test_links_are_compared_by_where_they_point(tree: Path) -> None:
    (tree / "l").symlink_to("a.txt")
    makers.commit(tree)
    assert differing(tree) == set()
    (tree / "l").unlink()
    (tree / "l").symlink_to("b.txt")
    assert differing(tree) == {"l"}


@pytest.mark.parametrize("kind", ["plain", "worktree", "shallow"])
def test_a_duplicate_is_of_one_mind_with_its_original(tmp_path: Path, kind: str) -> None:
    first = makers.repository(tmp_path / "first", {"a": "1", "b/run": "2", "gone": "3", ".gitignore": "*.log\n"})
    (first / "b" / "run").chmod(0o755)
    (first / "link").symlink_to("a")
    makers.commit(first)
    makers.git(first, "tag", "v1.0")
    root = tmp_path / "work"
    if kind == "worktree":
        makers.git(first, "worktree", "add", "--quiet", "--detach", str(root))
    else:
        depth = ("--depth=1",) if kind == "shallow" else ()
        makers.git(tmp_path, "clone", "--quiet", *depth, f"file://{first}", str(root))
    makers.write(root, {"a": "changed", "new": "staged", "loose": "not tracked", "x.log": "ignored"})
    (root / "gone").unlink()
    makers.git(root, "add", "new")
    found, into = git.head(root), tmp_path / "some" / "where"
    git.duplicate(found, into)
    again = git.head(into)
    assert (again.commit, again.time, again.tags) == (found.commit, found.time, found.tags)
    assert git.tracked(into) == git.tracked(root)
    assert git.status(into).changed == git.status(root).changed == {"a", "gone", "new"}
    names = {path.relative_to(into).as_posix() for path in into.rglob("*") if ".git" not in path.parts}
    assert names == {".gitignore", "a", "b", "b/run", "link", "loose", "new"}
    assert (into / "link").readlink() == Path("a")
    assert (into / "b" / "run").stat().st_mode & 0o111


_ODD: dict[str, list[tuple[str, ...]]] = {
    "split index": [("update-index", "--split-index")],
    "submodule": [
        ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "sub"),
        ("commit", "--quiet", "-m", "a submodule"),
    ],
    "filter": [("config", "filter.f.clean", "sed s/1/2/"), ("add", "--renormalize", "."), ("commit", "-qm", "f")],
    "line ends": [("config", "core.autocrlf", "true"), ("rm", "-rq", "--cached", "."), ("checkout", "-f", "HEAD", ".")],
    "modes": [("config", "core.fileMode", "false")],
}


@pytest.mark.parametrize("kind", _ODD)
def test_a_duplicate_keeps_what_the_repository_alone_says(tmp_path: Path, kind: str) -> None:
    makers.repository(tmp_path / "other", {"o": "1"})
    root = makers.repository(tmp_path / "first", {"a": "1\n", "n": "1\n", ".gitattributes": "a filter=f\n"})
    for command in _ODD[kind]:
        makers.git(root, *command)
    (root / "n").chmod(0o755)
    (root / ".git" / "info" / "attributes").write_text("n text eol=crlf\n")
    (root / "n").write_bytes(b"1\r\n")
    git.duplicate(git.head(root), tmp_path / "again")
    assert git.tracked(tmp_path / "again") == git.tracked(root)
    assert git.status(tmp_path / "again").changed == git.status(root).changed

"""A stale uv.lock is told from a fresh one: real uv locks real projects, then each kind of edit is a fault."""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from cdaf.errors import ProjectError
from cdaf.languages._python import lockfile, stale
from tests import pykit

ROOT = """\
[project]
name = "Top_Level"
version = "1.0"
requires-python = ">=3.11,<4"
dependencies = [
    "Alpha >= 1.0, < 3",
    "beta[fast,Big_er]; python_version >= '3.12' and sys_platform == 'linux'",
    "gamma==1.*",
    "member",
    "plain",
    "direct @ {url}/files/direct-1.0-py3-none-any.whl",
    "gitted",
    "local-wheel",
]

[project.optional-dependencies]
Ex_One = ["delta ; platform_machine != 'arm64'"]
empty = []

[dependency-groups]
smoke = ["epsilon>=1", {{include-group = "Base_Group"}}]
base_group = ["alpha"]

[tool.uv]
dev-dependencies = ["delta"]
constraint-dependencies = ["gamma<2"]
override-dependencies = ["epsilon<9"]
environments = ["sys_platform == 'linux'", "sys_platform == 'darwin'"]

[tool.uv.workspace]
members = ["packages/*"]

[tool.uv.sources]
member = {{ workspace = true }}
plain = {{ path = "other/plain", editable = true }}
gitted = {{ git = "file://{git}", tag = "v1" }}
local-wheel = {{ path = "wheels/local_wheel-1.0-py3-none-any.whl" }}
delta = [
    {{ index = "own", marker = "sys_platform == 'linux'" }},
    {{ url = "{url}/files/delta-1.0-py3-none-any.whl", marker = "sys_platform == 'darwin'" }},
]

[[tool.uv.index]]
name = "own"
url = "{url}/simple"
explicit = true
"""
MEMBER = '[project]\nname = "member"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = ["alpha>=1"]\n'
PLAIN = '[project]\nname = "plain"\nversion = "1.0"\ndependencies = ["gamma"]\n'
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "direct")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, pykit.Index]]:
    """A workspace with every kind of requirement, locked."""
    folder = tmp_path_factory.mktemp("stale")
    for name in NAMES:
        pykit.wheel(folder / "index", name)
    gitted = pykit.write(folder / "gitted", pykit.package("gitted"))
    pykit.commit(gitted)
    pykit.run("git", "tag", "v1", cwd=gitted)
    pykit.run("git", "tag", "v2", cwd=gitted)
    top = folder / "top"
    pykit.wheel(top / "wheels", "local-wheel")
    with pykit.serving(folder / "index") as index:
        root = ROOT.format(url=index.url, git=gitted)
        files = {
            "pyproject.toml": root,
            "packages/member/pyproject.toml": MEMBER,
            "other/plain/pyproject.toml": PLAIN,
        }
        pykit.lock(pykit.write(top, files), index)
        yield top, index


def found(root: Path, top: Path | None = None) -> list[str]:
    return stale.faults(root, lockfile.read(root, top or root))


@pytest.fixture
def project(locked: tuple[Path, pykit.Index], tmp_path: Path) -> Path:
    """A copy of the workspace in the same place, put back afterwards: paths in git and wheel sources are absolute."""
    import shutil

    return Path(shutil.copytree(locked[0], tmp_path / "top"))


def test_a_fresh_lock_has_no_fault(project: Path) -> None:
    assert found(project) == []
    assert found(project / "packages" / "member", project) == []


EDITS = [
    ("Alpha >= 1.0, < 3", "Alpha >= 1.0, < 4", "dependencies: alpha is <4,>=1.0, and the lock has <3,>=1.0"),
    ("Alpha >= 1.0, < 3", "Alpha <3,>=1.0", ""),
    ('    "Alpha >= 1.0, < 3",\n', "", "dependencies: alpha is gone"),
    ('    "gamma==1.*",', '    "gamma==1.*", "zeta",', "dependencies: zeta is new"),
    ("beta[fast,Big_er]", "beta[big.er, FAST]", ""),
    ("beta[fast,Big_er]", "beta[fast]", "dependencies: beta is [fast] if "),
    (
        "python_version >= '3.12' and sys_platform == 'linux'",
        "sys_platform == 'linux' and not_a_thing",
        "pyproject.toml:",
    ),
    (
        "python_version >= '3.12' and sys_platform == 'linux'",
        "sys_platform=='linux' and python_full_version>='3.12'",
        "",
    ),
    (
        "python_version >= '3.12' and sys_platform == 'linux'",
        "python_version > '3.12' and sys_platform == 'linux'",
        "beta",
    ),
    ("python_version >= '3.12' and sys_platform == 'linux'", "python_version >= '3.12'", "dependencies: beta is"),
    ("direct-1.0-py3-none-any.whl", "direct-1.1-py3-none-any.whl", "dependencies: direct is from"),
    ('tag = "v1"', 'tag = "v2"', "dependencies: gitted is from git"),
    ('tag = "v1"', 'rev = "v1"', "dependencies: gitted is from git"),
    ("platform_machine != 'arm64'", "platform_machine == 'arm64'", "dependencies: delta is"),
    ("empty = []", "", "extra empty is gone"),
    ("empty = []", "empty = []\nfull = []", "extra full is new"),
    ("Ex_One", "ex-one", ""),
    ("epsilon>=1", "epsilon>=2", "dependency group smoke: epsilon is >=2, and the lock has >=1"),
    ('base_group = ["alpha"]', 'base_group = ["zeta"]', "dependency group smoke: zeta is new"),
    ('base_group = ["alpha"]', 'base_group = ["alpha"]\nnew = ["beta"]', "dependency group new: beta is new"),
    ('base_group = ["alpha"]', 'base_group = ["alpha", {include-group = "smoke"}]', "includes"),
    ('dev-dependencies = ["delta"]', 'dev-dependencies = ["zeta"]', "dependency group dev: delta is gone"),
    ("gamma<2", "gamma<3", "tool.uv.constraint-dependencies: gamma is <3, and the lock has <2"),
    ('override-dependencies = ["epsilon<9"]', "", "tool.uv.override-dependencies: epsilon is gone"),
    (", \"sys_platform == 'darwin'\"", "", "tool.uv.environments is"),
    ("delta = [\n", "unused = [\n", "dependency group dev: delta is any version, and the lock has"),
    ('url = "http', 'url = "https', "from index https"),
    ("member = { workspace = true }", "", "dependencies: member is any version"),
    ('plain = { path = "other/plain"', 'plain = { path = "packages/member"', "dependencies: plain is from"),
    ("editable = true", "editable = false", ""),
    ('requires-python = ">=3.11,<4"', 'requires-python = ">=3.12,<4"', "requires-python is"),
    ('requires-python = ">=3.11,<4"', 'requires-python = "<4.0,>=3.11"', ""),
    ('version = "1.0"', 'version = "2.0"', ""),
    ('version = "1.0"', 'dynamic = ["version"]', ""),
    ('name = "Top_Level"', 'name = "top.level"', ""),
    ('name = "Top_Level"', 'name = "bottom"', "bottom"),
    ("[tool.uv]\n", '[tool.uv]\nresolution = "lowest"\n', "tool.uv.resolution is lowest"),
    ("[tool.uv]\n", '[tool.uv]\nresolution = "highest"\n', ""),
]


@pytest.mark.parametrize(("before", "after", "fault"), EDITS)
def test_an_edit_is_a_fault_exactly_when_it_means_something(project: Path, before: str, after: str, fault: str) -> None:
    path = project / "pyproject.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    faults = found(project)
    if fault:
        assert any(fault in each for each in faults), faults
    else:
        assert faults == []


@pytest.mark.slow
def test_what_uv_says_is_stale_is_stale_here_and_the_other_way_round(
    locked: tuple[Path, pykit.Index], tmp_path: Path
) -> None:
    """Every edit above, judged by `uv lock --check` too."""
    top, index = locked
    original = (top / "pyproject.toml").read_text()
    differing = []
    try:
        for before, after, fault in EDITS:
            (top / "pyproject.toml").write_text(original.replace(before, after))
            differing += [(before, after)] if _uv_says_fresh(top, index) != (fault == "") else []
    finally:
        (top / "pyproject.toml").write_text(original)
    # The version of a local package enters no bundle from the lock, and whether a folder is editable is no matter.
    tolerated = {
        ('version = "1.0"', 'version = "2.0"'),
        ('version = "1.0"', 'dynamic = ["version"]'),
        ("editable = true", "editable = false"),
    }
    assert set(differing) <= tolerated


def _uv_says_fresh(folder: Path, index: pykit.Index) -> bool:
    try:
        pykit.run(
            uv.find_uv_bin(),
            "lock",
            "--check",
            "--python",
            sys.executable,
            "--cache-dir",
            folder.parent / "cache",
            "--default-index",
            f"{index.url}/simple",
            cwd=folder,
            UV_HTTP_RETRIES="0",
        )
    except AssertionError:
        return False
    return True


def test_members_that_come_and_go_are_faults(project: Path) -> None:
    pykit.write(project, {"packages/extra/pyproject.toml": MEMBER.replace("member", "extra")})
    assert "workspace member extra is new" in found(project)
    pykit.write(project, {"packages/member/pyproject.toml": MEMBER.replace('"alpha>=1"', '"zeta"')})
    faults = found(project / "packages" / "member", project)
    assert {"packages/member: dependencies: alpha is gone", "packages/member: dependencies: zeta is new"} <= set(faults)
    (project / "packages" / "member" / "pyproject.toml").unlink()
    assert "workspace member member is gone" in found(project)


def test_a_path_dependency_is_compared_with_its_own_manifest(project: Path) -> None:
    pykit.write(project, {"other/plain/pyproject.toml": PLAIN.replace("gamma", "zeta")})
    assert {"other/plain: dependencies: gamma is gone", "other/plain: dependencies: zeta is new"} == set(found(project))


def test_a_project_that_the_lock_does_not_know(project: Path) -> None:
    pykit.write(project, {"elsewhere/pyproject.toml": MEMBER})
    assert "elsewhere is not in it" in found(project / "elsewhere", project)


def test_all_differences_come_in_one_error_with_its_hint(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace("Alpha >= 1.0, < 3", "zeta").replace("epsilon>=1", "beta"))
    with pytest.raises(ProjectError) as caught:
        stale.refuse(project, lockfile.read(project, project))
    assert "uv.lock is not what pyproject.toml asks for: 4 faults" in caught.value.message
    assert caught.value.hint == "run `uv lock` and commit uv.lock"


def test_no_lock_another_format_and_no_toml(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no uv\.lock in") as caught:
        lockfile.read(tmp_path / "top" / "other", tmp_path / "top" / "other")
    assert "uv lock" in caught.value.hint
    path = project / "uv.lock"
    text = path.read_text()
    path.write_text(re.sub(r"^version = 1$", "version = 2", text, flags=re.MULTILINE))
    with pytest.raises(ProjectError, match="of format 2, and this cdaf reads format 1"):
        found(project)
    path.write_text(text[:200])
    with pytest.raises(ProjectError, match="cannot be read"):
        found(project)


def test_credentials_leave_the_lock_but_not_an_ssh_login() -> None:
    text = (
        b'a = "https://me:s3cret@host.example/x"\nb = "https://token@host.example/y"\nc = "ssh://git@host.example/z"\n'
    )
    assert lockfile.redacted(text) == (
        b'a = "https://host.example/x"\nb = "https://host.example/y"\nc = "ssh://git@host.example/z"\n'
    )
    assert lockfile.credentials(text) == {"host.example": ("token", "")}
    assert hashlib.sha256(lockfile.redacted(text)) != hashlib.sha256(text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", "project = 5"),
        ("pyproject.toml", "tool = 5"),
        ("pyproject.toml", "[tool]\nuv = 5"),
        ("pyproject.toml", "[project]\nname = 5"),
        ("pyproject.toml", '[project]\nname = "svc"\ndependencies = "dep"'),
        ("pyproject.toml", '[project]\nname = "svc"\nrequires-python = ">=bogus"'),
        ("pyproject.toml", "[build-system]\nrequires = [1]"),
        ("pyproject.toml", "x = " + "[" * 100_000),
        ("uv.lock", "version = 1\npackage = 5"),
        ("uv.lock", "version = 1\n[[package]]\nname = 5\nsource = 5"),
        ("uv.lock", "x = " + "9" * 5000),
    ],
)
def test_files_of_another_form_are_the_projects_fault(tmp_path: Path, file: str, text: str) -> None:
    pykit.write(tmp_path, {**pykit.package("svc"), "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n', file: text})
    with pytest.raises(ProjectError):
        stale.refuse(tmp_path, lockfile.read(tmp_path, tmp_path))

"""What is demanded of every language: its example, the same bytes twice, every dependency locked by hash."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cdaf import languages
from tests import acceptance, makers
from tests.acceptance import cdaf

EXAMPLES = {
    languages.detect(folder, folder): folder.name
    for folder in sorted((acceptance.CHECKOUT / "examples").iterdir())
    if (folder / "cdaf.toml").is_file()
}
# How to take the hashes out of a lockfile, which every language spells in its own way.
HASHES = {
    "python": ("uv.lock", r', hash = "sha256:[0-9a-f]+"'),
    "php": ("composer.lock", r'hash = "tree-sha256:[0-9a-f]+"\n'),
    "node": ("package-lock.json", r"sha512-[A-Za-z0-9+/=]+"),
}
HASHES["ruby"] = ("Gemfile.lock", r'hash = "sha256:[0-9a-f]+"\n')
HASHES["docker"] = ("Dockerfile", r'hash = "sha256:[0-9a-f]+"\n')
# Where the hashes stand, if not in the lockfile itself.
ELSEWHERE = {"docker": "cdaf.lock", "php": "cdaf.lock", "ruby": "cdaf.lock"}
EVERY = pytest.mark.parametrize("name", languages.MODULES)


@EVERY
def test_it_has_an_example(name: str) -> None:
    assert name in EXAMPLES
    assert name in HASHES


@EVERY
def test_an_example_is_known_where_it_lies_in_a_repository_with_a_lockfile_of_its_own(name: str) -> None:
    assert (acceptance.CHECKOUT / "uv.lock").is_file()
    assert languages.detect(acceptance.CHECKOUT / "examples" / EXAMPLES[name], acceptance.CHECKOUT) == name


def test_a_member_of_a_workspace_is_of_the_lockfile_above_it(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("")
    member = tmp_path / "services" / "member"
    member.mkdir(parents=True)
    assert languages.detect(member, tmp_path) == "python"
    (member / "Dockerfile").write_text("")
    assert languages.detect(member, tmp_path) == "docker"
    (member / "pyproject.toml").write_text("")
    assert languages.detect(member, tmp_path) == "python"
    assert languages.detect(member, member) == "docker"


@EVERY
def test_it_provides_what_a_language_does(name: str) -> None:
    module = languages.load(name)
    assert name == module.NAME
    assert module.LOCKFILES
    for verb in ("identify", "check", "pin", "resolve", "collect", "plan"):
        assert callable(getattr(module, verb))


@EVERY
@pytest.mark.docker
def test_two_packagings_give_the_same_bytes(name: str, shared: Path, tmp_path: Path) -> None:
    made = [
        Path(cdaf("package", acceptance.locked(EXAMPLES[name], tmp_path / folder, shared)).stdout.strip())
        for folder in ("one", "another")
    ]
    assert made[0].read_bytes() == made[1].read_bytes()


@EVERY
def test_no_lockfile_is_the_project_s_fault(name: str, tmp_path: Path) -> None:
    root = acceptance.example(EXAMPLES[name], tmp_path / "service")
    (root / HASHES[name][0]).unlink()
    makers.commit(root)
    told = cdaf("package", root, expect=3)
    assert told.stdout == ""
    assert HASHES[name][0] in told.stderr
    assert not (root / "dist").exists()


@EVERY
@pytest.mark.docker
def test_a_dependency_without_a_hash_is_refused(name: str, shared: Path, tmp_path: Path) -> None:
    root = acceptance.locked(EXAMPLES[name], tmp_path / "service", shared)
    file, hashes = HASHES[name]
    file = ELSEWHERE.get(name, file)
    text = (root / file).read_text()
    assert re.search(hashes, text)
    (root / file).write_text(re.sub(hashes, "", text))
    makers.commit(root)
    told = subprocess.run([sys.executable, "-m", "cdaf", "package", root], capture_output=True, text=True, check=False)
    assert told.returncode in (3, 4)  # whose fault it is depends on who notices: the native tool, or we
    assert "hash" in told.stderr
    assert told.stdout == ""
    assert not (root / "dist").exists()

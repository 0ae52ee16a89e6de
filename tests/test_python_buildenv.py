"""Environments that builds run in are what their requirements make them, from the first run to the last."""

import hashlib
from pathlib import Path

import pytest

from cdaf import process, store
from cdaf.errors import ResolveError
from cdaf.languages._python import buildenv
from cdaf.net import fetch
from cdaf.projects.pins import Requirement
from tests import pykit


@pytest.fixture
def requires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Requirement, ...]:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    wheel = pykit.wheel(tmp_path, "backend", files={"backend.py": "works = 1\n"})
    store.put(fetch.KIND, [wheel.read_bytes()])
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return (Requirement(name="backend", version="1.0", url=f"https://index.example/{wheel.name}", sha256=sha256),)


def installed(folder: Path) -> Path:
    (found,) = folder.rglob("backend.py")
    return found


def test_an_environment_is_kept(requires: tuple[Requirement, ...]) -> None:
    made = buildenv.ensure(requires)
    before = installed(made).stat()
    assert buildenv.ensure(requires) == made
    assert installed(made).stat().st_ino == before.st_ino


def test_one_that_was_changed_is_made_anew(requires: tuple[Requirement, ...]) -> None:
    made = buildenv.ensure(requires)
    for spoil in (
        lambda: installed(made).write_text("works = 2\n"),
        lambda: installed(made).unlink(),
        lambda: (installed(made).parent / "sitecustomize.py").write_text("import evil\n"),
        lambda: installed(made).replace(installed(made).with_name("other.py")),
        lambda: (made / "cdaf-complete").write_text(""),
    ):
        spoil()
        buildenv.ensure(requires)
        assert installed(made).read_text() == "works = 1\n"
        assert sorted(path.name for path in installed(made).parent.glob("*.py")) in (
            ["backend.py"],
            ["_virtualenv.py", "backend.py"],
        )


def test_a_disk_that_a_program_finds_full_is_transient() -> None:
    with pytest.raises(ResolveError) as caught:
        process.must(["dd", "if=/dev/zero", "of=/dev/full", "count=1"], ResolveError, "it cannot be made")
    assert caught.value.transient

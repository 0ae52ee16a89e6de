"""`cdaf check` and `cdaf package --check`: what is wrong before anything is fetched, and what differs when repeated."""

from pathlib import Path

import pytest

from cdaf.projects import pins
from tests import pykit
from tests.acceptance import cdaf

CONFIG = '[service]\nstart = ["svc"]\n[image]\nbase = "scratch"\n'
RANDOM = pykit.BACKEND.replace(
    'files[f"{info}/WHEEL"]', "files['svc/random'] = os.urandom(9)\n    files[f\"{info}/WHEEL\"]"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def service(folder: Path, backend: str = pykit.BACKEND) -> Path:
    """A committed service whose locks are written by hand, so that no registry is asked."""
    pykit.service(folder, None, config=CONFIG, files={"backend/tiny.py": backend})
    base = pins.Base(reference="scratch", platform="linux/amd64", digest="", facts=pykit.FACTS)
    pins.write(pins.Pins(bases=(base,), builds=(pins.Build(key="svc", declared=()),)), folder / pins.NAME)
    pykit.commit(folder)
    return folder


def test_check_is_silent_on_stdout(tmp_path: Path, cache: Path) -> None:
    done = cdaf("check", service(tmp_path / "svc"))
    assert done.stdout == ""
    assert done.stderr.endswith(": no faults\n")
    assert not cache.exists() or not list(cache.glob("archives/*"))


def test_check_lists_the_faults_of_both_locks(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    manifest = root / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace("[build-system]", 'dependencies = ["more"]\n[build-system]'))
    (root / "cdaf.toml").write_text(CONFIG.replace('"scratch"', '"python:3.13-slim"'))
    told = cdaf("check", root, expect=3).stderr
    assert "more" in told
    assert "cdaf.lock: no pin of python:3.13-slim for linux/amd64" in told


def test_check_knows_groups_and_checks_that_are_not_there(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    (root / "smoke").mkdir()
    (root / "smoke" / "test_it.py").write_text("")
    (root / "cdaf.toml").write_text(f'{CONFIG}[smoke]\ngroup = "smok"\nchecks = ["pytest", "-q", "smoke/"]\n')
    told = cdaf("check", root, expect=3).stderr
    assert "smoke.group: 'smok' is no dependency group of pyproject.toml" in told
    assert "smoke.checks: 'smoke/' is nothing that git tracks" in told
    (root / "cdaf.toml").write_text(f'{CONFIG}[smoke]\ngroup = "Dev"\nchecks = ["pytest", "-q", "smoke/"]\n')
    pykit.commit(root)
    cdaf("check", root)


def test_a_build_that_keeps_up(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc")
    done = cdaf("package", root, "--check")
    assert "packaged twice: sha256:" in done.stderr
    assert Path(done.stdout.strip()).is_file()


def test_a_build_that_gives_other_bytes_each_time(tmp_path: Path, cache: Path) -> None:
    root = service(tmp_path / "svc", RANDOM)
    told = cdaf("package", root, "--check", expect=3).stderr
    assert "cannot be reproduced" in told
    assert "deps/svc-1.4.0-py3-none-any.whl differs from one packaging to the next" in told

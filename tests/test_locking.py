"""cdaf.lock: written once, kept, found lacking, and made anew only when asked."""

import json
from pathlib import Path

import msgspec
import pytest

from cdaf.errors import ProjectError, ResolveError
from cdaf.projects import locking, pins, project
from tests import makers, pykit
from tests.acceptance import cdaf

CONFIG = '[service]\nstart = ["svc"]\nport = 8000\n[smoke]\nsidecars = ["redis:7"]\n'
PINS = pins.Pins(
    bases=(pins.Base(reference=pykit.BASE, platform="linux/amd64", digest="sha256:" + "0" * 64, facts=pykit.FACTS),),
    sidecars=(pins.Sidecar(reference="redis:7", digest="sha256:" + "1" * 64),),
)


@pytest.fixture
def service(tmp_path: Path) -> project.Project:
    return pykit.service(tmp_path / "svc", None, config=CONFIG)


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    pins.write(PINS, tmp_path / "cdaf.lock")
    assert pins.read(tmp_path / "cdaf.lock") == PINS
    assert (tmp_path / "cdaf.lock").stat().st_mode & 0o777 == 0o644


def test_a_current_lock_is_taken_as_it_is(service: project.Project) -> None:
    pins.write(PINS, locking.path(service))
    before = locking.path(service).read_bytes()
    assert locking.ensure(service, locked=True) == PINS
    assert locking.path(service).read_bytes() == before


def test_locked_demands_a_lock(service: project.Project) -> None:
    with pytest.raises(ProjectError, match=r"cdaf\.lock is missing, and --locked asks for it"):
        locking.ensure(service, locked=True)
    assert not locking.path(service).exists()


def test_all_that_a_lock_lacks_is_told_at_once(service: project.Project) -> None:
    pins.write(msgspec.structs.replace(PINS, bases=(), sidecars=()), locking.path(service))
    with pytest.raises(ProjectError) as raised:
        locking.ensure(service)
    assert "no pin of python:3.13-slim for linux/amd64" in raised.value.message
    assert "no pin of sidecar redis:7" in raised.value.message


@pytest.mark.parametrize("text", ["format = 2\n", "format = 1\nbases = 3\n", "[", "format = 1\nodd = 1\n", ""])
def test_a_damaged_lock_is_named(service: project.Project, text: str) -> None:
    locking.path(service).write_text(text)
    with pytest.raises(ProjectError, match=r"cdaf\.lock: "):
        locking.ensure(service)


@pytest.mark.docker
def test_package_writes_a_missing_lock_and_says_commit_it(service: project.Project) -> None:
    said = cdaf("package", service.root)
    assert "wrote cdaf.lock: commit this file" in said.stderr
    assert pins.read(locking.path(service)) is not None
    makers.commit(service.root)
    assert "wrote cdaf.lock" not in cdaf("package", service.root, "--locked").stderr


@pytest.mark.docker
def test_what_is_pinned_stays_until_an_upgrade(service: project.Project) -> None:
    pins.write(PINS, locking.path(service))
    cdaf("lock", service.root)
    kept = pins.read(locking.path(service))
    assert kept is not None
    assert (kept.bases, kept.sidecars) == (PINS.bases, PINS.sidecars)
    cdaf("lock", service.root, "--upgrade")
    new = pins.read(locking.path(service))
    assert new is not None
    assert new.bases[0].digest != PINS.bases[0].digest
    assert new.sidecars[0].digest != PINS.sidecars[0].digest


@pytest.mark.docker
def test_a_base_that_does_not_exist(service: project.Project) -> None:
    config = CONFIG + '[image]\nbase = "no-such-base:1"\n'
    makers.write(service.root, {"cdaf.toml": config})
    makers.commit(service.root)
    told = json.loads(cdaf("lock", service.root, "--json", expect=4).stdout)
    assert "docker.io/library/no-such-base:1" in told["error"]["message"]
    assert not locking.path(service).exists()
    with pytest.raises(ResolveError):
        locking.make(project.read(service.root), None)


@pytest.mark.docker
def test_a_base_gone_since_it_was_pinned(service: project.Project, tmp_path: Path) -> None:
    """The pin's digest is asked for, and no other is taken in its place."""
    cdaf("lock", service.root)
    now = pins.read(locking.path(service))
    assert now is not None
    gone = tuple(msgspec.structs.replace(each, digest="sha256:" + "0" * 64) for each in now.bases)
    pins.write(msgspec.structs.replace(now, bases=gone), locking.path(service))
    makers.commit(service.root)
    env = {"CDAF_CACHE": str(tmp_path / "cache"), "CDAF_IMAGE_BYTECODE": "false"}  # or the engine would be asked first
    told = cdaf("package", service.root, env=env, expect=4).stderr
    assert "sha256:" + "0" * 64 in told
    assert not (service.root / "dist").exists()


def test_a_platform_that_the_file_does_not_have_is_not_to_be_locked(service: project.Project) -> None:
    pins.write(PINS, locking.path(service))
    told = cdaf("package", service.root, "--platform", "linux/arm64", expect=3).stderr
    assert "linux/arm64 is not among image.platforms in cdaf.toml: linux/amd64" in told
    assert "hint: add linux/arm64 to image.platforms, then run `cdaf lock`" in told
    both = '[image]\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    makers.write(service.root, {"cdaf.toml": CONFIG + both})
    told = cdaf("package", service.root, "--platform", "linux/arm64", expect=3).stderr
    assert "no pin of python:3.13-slim for linux/arm64" in told
    assert "hint: run `cdaf lock`" in told


def test_a_stale_native_lock_is_told_before_any_image_is_asked_for(tmp_path: Path) -> None:
    config = CONFIG.replace("[smoke]", '[image]\nbase = "nowhere.invalid/base:1"\n[smoke]')
    made = pykit.service(tmp_path / "svc", None, config=config)
    manifest = made.root / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace("[build-system]", 'dependencies = ["more"]\n[build-system]'))
    for command in ("lock", "package", "check"):
        told = cdaf(command, made.root, expect=3).stderr
        assert "more" in told
        assert "run `uv lock`" in told
    assert not (made.root / "cdaf.lock").exists()

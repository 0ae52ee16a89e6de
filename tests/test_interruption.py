"""Killing and interrupting `package` at every moment: nothing half, nothing left behind, and the next run is right."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdaf.bundles import bundle
from tests import acceptance

pytestmark = pytest.mark.docker
ROUNDS = {"cold": 3, "warm": 8}


@pytest.fixture
def service(shared: Path, tmp_path: Path) -> Path:
    return acceptance.locked("orders", tmp_path / "orders", shared)


def start(service: Path, cache: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cdaf", "package", str(service)],
        env={**os.environ, "CDAF_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(running: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    """Once it answers for its signals itself: before that it is Python that starts, and Python that complains."""
    status = Path(f"/proc/{running.pid}/status")
    while running.poll() is None:
        caught = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            break
        time.sleep(0.001)
    return running


def left(folder: Path) -> list[str]:
    """What is in it beside the file that keeps git from seeing it."""
    return sorted({path.name for path in folder.iterdir()} - {".gitignore"}) if folder.is_dir() else []


@pytest.mark.parametrize("temperature", ["cold", "warm"])
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda blow: blow.name)
def test_package_survives(service: Path, tmp_path: Path, blow: signal.Signals, temperature: str) -> None:
    cache, dist = tmp_path / "cache", service / "dist"
    began = time.monotonic()
    done = start(service, cache)
    told, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    whole = time.monotonic() - began
    good = bundle.open(Path(told.strip())).identity
    if temperature == "warm":
        began = time.monotonic()
        start(service, cache).communicate(timeout=300)
        whole = time.monotonic() - began
    chance = random.Random(f"{blow} {temperature}")
    for _ in range(ROUNDS[temperature]):
        shutil.rmtree(dist, ignore_errors=True)
        if temperature == "cold":
            shutil.rmtree(cache, ignore_errors=True)
        running = begun(start(service, cache))
        time.sleep(chance.uniform(0, whole))
        os.kill(running.pid, blow)
        told, errors = running.communicate(timeout=300)
        assert "Traceback" not in errors
        if blow != signal.SIGKILL:
            assert running.returncode in (0, 130, -blow), errors
            assert [name for name in left(dist) if name.startswith(".")] == []
        for name in left(dist):
            if not name.startswith("."):
                assert bundle.open(dist / name).identity == good
    last = start(service, cache)
    told, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert bundle.open(Path(told.strip())).identity == good
    assert left(dist) == [Path(told.strip()).name]
    assert list(cache.rglob(".cdaf-part-*")) == []


def test_two_at_once(service: Path, tmp_path: Path) -> None:
    running = [start(service, tmp_path / "cache") for _ in range(3)]
    outputs = [each.communicate(timeout=300) for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], outputs
    assert len({told for told, _ in outputs}) == 1
    bundle.open(Path(outputs[0][0].strip()))
    assert len(left(service / "dist")) == 1

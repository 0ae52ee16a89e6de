"""The same bundle from every Python that cdaf runs on, each on another Debian release, with its builds done anew
and its bytecode compiled anew, by the engine of this machine.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from tests import acceptance
from tests.acceptance import ask
from tools import pythons
from tools.engine import Engine

pytestmark = pytest.mark.docker
CHECKOUT = Path(__file__).parents[1]
FETCHED = ("archives", "blobs")


def dependencies(version: str, into: Path) -> Path:
    """What cdaf itself needs, as its own lockfile says, for another Python."""
    requirements = into.with_suffix(".txt")
    exported = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--output-file", str(requirements)]
    subprocess.run([uv.find_uv_bin(), *exported], cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    wanted = ["--python-version", version, "--python-platform", "x86_64-unknown-linux-gnu", "--only-binary", ":all:"]
    place = ["--python", sys.executable, "--target", str(into), "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([uv.find_uv_bin(), "pip", "install", *place, *wanted, "-r", str(requirements)], check=True)
    return into


@pytest.mark.parametrize("version", sorted(pythons.DEBIAN))
def test_the_same_bytes_from_another_python(version: str, shared: Path, tmp_path: Path, engine: Engine) -> None:
    expected = acceptance.packaged("orders", shared)
    root = acceptance.locked("orders", tmp_path / "orders", shared)
    for kind in FETCHED:
        shutil.copytree(shared / "cache" / kind, tmp_path / "cache" / kind)
    packages = dependencies(version, tmp_path / "packages")
    shutil.copytree(CHECKOUT / "cdaf", tmp_path / "code" / "cdaf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("release", "smoke"):
        shutil.copytree(CHECKOUT / name, tmp_path / "code" / name)
    image = pythons.image(version)
    socket = engine.host.removeprefix("unix://") or "/var/run/docker.sock"
    told = ask(
        [
            *(
                "docker",
                "run",
                "--rm",
                "--network=none",
                "--privileged",
                "--label=io.cdaf.test",
                f"--volume={tmp_path}:{tmp_path}",
                f"--volume={socket}:/var/run/docker.sock",
            ),
            f"--env=PYTHONPATH={tmp_path}/code:{packages}",
            f"--env=CDAF_CACHE={tmp_path}/cache",
            "--env=GIT_CONFIG_COUNT=1",
            "--env=GIT_CONFIG_KEY_0=safe.directory",
            "--env=GIT_CONFIG_VALUE_0=*",
            f"--user={os.getuid()}",
            image,
            *("python3", "-m", "cdaf", "package", str(root)),
        ]
    )
    made = Path(told.strip())
    assert made.name == expected.name
    assert made.read_bytes() == expected.read_bytes()

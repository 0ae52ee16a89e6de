"""The wheel holds what git tracks and nothing else, and its parts find one another wherever they are."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parent.parent
TELL = """
from cdaf import assets
print(assets.root(), len(assets.launcher()), *sorted(path.name for path in assets.sidecars().iterdir()), sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [uv.find_uv_bin(), "build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "cdaf", "release", "smoke"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    return {name if name.startswith("cdaf/") else f"cdaf/_assets/{name}" for name in names}


def test_it_holds_what_git_tracks(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held - tracked() == set(), "in the wheel, but not tracked: add these files, or remove them"
    assert tracked() - held == set(), "tracked, but not in the wheel"


def test_it_names_its_program(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "cdaf = cdaf.__main__:main" in archive.read(entry_points).decode()


def told(folder: Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", TELL], cwd=folder, env={**os.environ, **environment}, capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


def test_parts_are_found_in_all_three_modes(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    installed = told(tmp_path, PYTHONPATH=str(tmp_path / "installed"))
    editable, checkout = told(tmp_path), told(ROOT)
    assert installed[0] == str(tmp_path / "installed" / "cdaf" / "_assets")
    assert editable[0] == checkout[0] == str(ROOT)
    assert installed[1:] == editable[1:] == checkout[1:]
    assert "postgres.yaml" in checkout

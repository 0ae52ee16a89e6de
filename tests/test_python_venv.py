"""The virtual environment made of files, beside one that uv makes of the same wheels; then it runs."""

import csv
import io
import os
import platform
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uv

from cdaf.languages import python
from cdaf.projects import project
from tests import pykit

VERSION = ".".join(platform.python_version_tuple()[:2])
HERE = "linux/amd64" if platform.machine() == "x86_64" else "linux/arm64"
TOOLS = {
    "tool_a/__init__.py": "import sys\ndef main():\n    print('a', sys.prefix)\n",
    "tool_a/data.txt": "data",
    "tool_a/run.sh": "#!/bin/sh\n",
    "@/scripts/own": "#!python\nimport tool_a\nprint('own')\n",
    "@/scripts/plain": "#!/bin/sh\necho plain\n",
    "@/data/share/tool_a/x.txt": "x",
    "@/headers/a.h": "h",
    "@/purelib/pure_a.py": "",
    "@/platlib/plat_a.py": "",
    "tool_a.pth": "import sys; sys.tool_a_pth = True\n",
}
# What is meant to differ: uv's own marks, its lock, its activators, and the shebang, which is the image's.
UV_S_OWN = {"CACHEDIR.TAG", ".gitignore", ".lock", "pyvenv.cfg"}


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[Path]]]:
    """The environment laid out from a plan for this very machine, and the wheels it is made of."""
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "index"
    pykit.wheel(
        folder,
        "tool-a",
        files=TOOLS,
        entry_points="[console_scripts]\ntool-a = tool_a:main\nother = tool_a:main [x]\n",
        modes={"tool_a/run.sh": 0o700, "tool_a/data.txt": 0o600},
    )
    pykit.wheel(folder, "lib-b", files={"lib_b/__init__.py": "", "lib_b/sub/__init__.py": "", "lib_b/py.typed": ""})
    with pykit.serving(folder) as index:
        scripts = 'dependencies = ["tool-a", "lib-b"]\n[project.scripts]\nsvc = "svc:name.upper"\n'
        found = pykit.service(
            tmp_path / "svc", index, scripts, pykit.CONFIG.replace('"linux/amd64", "linux/arm64"', f'"{HERE}"')
        )
        root, wheels = lay_out(found, tmp_path)
        yield root, wheels


def lay_out(found: project.Project, tmp_path: Path) -> tuple[Path, list[Path]]:
    facts = pykit.host_facts()
    pins = pykit.pinned(facts, platforms=(HERE,))
    pins = msgspec.structs.replace(pins, builds=python.pin(found, {HERE: facts}))
    collection = python.collect(found, python.resolve(found, pins))
    plan = python.plan(found, collection)
    members: dict[str, Path | bytes] = {each.dependency.archive: each.path for each in collection.archives}
    members |= plan.generated
    root = tmp_path / "root"
    pykit.apply(plan.plans.images[0].layers, members, root)
    wheels = []
    for archive in collection.archives:
        wheels.append(tmp_path / "wheels" / Path(archive.dependency.archive).name)
        wheels[-1].parent.mkdir(exist_ok=True)
        wheels[-1].write_bytes(archive.path.read_bytes())
    return root, wheels


def by_uv(wheels: list[Path], folder: Path) -> Path:
    quiet = ("--quiet", "--no-config", "--no-cache", "--offline")
    pykit.run(uv.find_uv_bin(), "venv", *quiet, "--python", sys.executable, folder, cwd=folder.parent)
    install = ("pip", "install", *quiet, "--link-mode", "copy", "--no-deps", "--no-index")
    pykit.run(uv.find_uv_bin(), *install, "--python", folder / "bin" / "python", *wheels, cwd=folder.parent)
    return folder


def told(folder: Path) -> dict[str, str | bytes]:
    """Every path with its content: a link's target, a file's bytes and whether it may be executed."""
    found: dict[str, str | bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = (b"x" if path.stat().st_mode & stat.S_IXUSR else b"-") + path.read_bytes()
    return found


def rows(data: bytes | str) -> set[str]:
    assert isinstance(data, bytes)
    return {row[0] for row in csv.reader(io.StringIO(data[1:].decode()))}


def test_it_is_uv_s_environment_file_by_file(planned: tuple[Path, list[Path]], tmp_path: Path) -> None:
    mine = told(planned[0] / "app" / ".venv")
    theirs = told(by_uv(planned[1], tmp_path / "theirs"))
    activators = {name for name in theirs if name.startswith("bin/") and ("activate" in name or name.endswith(".bat"))}
    virtualenv = {f"lib/python{VERSION}/site-packages/_virtualenv.{end}" for end in ("py", "pth")}
    # uv marks what was asked for by name, and whence a file came; a layer must not know this machine's paths.
    marks = {
        name
        for name in theirs
        if name.endswith((".dist-info/REQUESTED", ".dist-info/direct_url.json", "/uv_cache.json"))
    }
    shared = set(theirs) - activators - virtualenv - marks - UV_S_OWN
    assert set(mine) - {"pyvenv.cfg"} == shared
    differing = {name for name in shared if mine[name] != theirs[name]}
    scripts = {"bin/tool-a", "bin/other", "bin/svc", "bin/own"}
    installers = {name for name in shared if name.endswith("/INSTALLER")}
    records = {name for name in shared if name.endswith("/RECORD")}
    links = {"bin/python"}  # uv's points to a launcher's place, ours to the interpreter
    assert differing <= scripts | installers | records | links
    for name in scripts:
        assert mine[name][0] == theirs[name][0] == ord("x")
    for name in records:
        own = {
            row for row in rows(theirs[name]) if not row.endswith(("/REQUESTED", "/direct_url.json", "/uv_cache.json"))
        }
        assert rows(mine[name]) == own


def test_it_runs(planned: tuple[Path, list[Path]]) -> None:
    """Its shebangs name /app, so the environment is asked through its interpreter."""
    venv = planned[0] / "app" / ".venv"
    code = (
        "import sys, tool_a, lib_b.sub, svc, pure_a, plat_a, importlib.metadata as m;"
        "assert sys.tool_a_pth; assert sys.prefix != sys.base_prefix; print(sys.prefix);"
        "assert {d.name for d in m.distributions()} == {'tool-a', 'lib-b', 'svc'};"
        "assert all(f.locate().exists() for d in m.distributions() for f in d.files);"
        "print(m.distribution('svc').version)"
    )
    environment = {"PATH": os.environ["PATH"]}
    python = str(venv / "bin" / "python")
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == [str(venv), "1.4.0"]
    for script in ("tool-a", "other", "own"):
        ran = subprocess.run(
            [python, str(venv / "bin" / script)], capture_output=True, text=True, env=environment, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")


def test_modes_are_two(planned: tuple[Path, list[Path]]) -> None:
    modes = {path.stat().st_mode & 0o7777 for path in planned[0].rglob("*") if path.is_file() and not path.is_symlink()}
    assert modes == {0o644, 0o755}
    site = planned[0] / "app" / ".venv" / "lib" / f"python{VERSION}" / "site-packages"
    assert (site / "tool_a" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (site / "tool_a" / "data.txt").stat().st_mode & 0o777 == 0o644

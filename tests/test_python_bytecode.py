"""Bytecode in a service's image: which files get it, when the engine is asked, and that the service loads it."""

import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import engine, store
from cdaf.bases import facts
from cdaf.bundles import bundle
from cdaf.engine import client, owner
from cdaf.errors import CdafError, ResolveError, exit_code
from cdaf.images import building
from cdaf.images.plan import Unpack
from cdaf.languages import Planned, python
from cdaf.languages._python import bytecode, compiling
from cdaf.languages._python.values import Target
from cdaf.projects import project
from cdaf.projects.pins import Pins
from tests import acceptance, pykit

pytestmark = pytest.mark.docker
CHECKOUT = Path(__file__).parents[1]
HERE, THERE = ("linux/amd64", "linux/arm64") if platform.machine() == "x86_64" else ("linux/arm64", "linux/amd64")
SITE = "/app/.venv/lib/python3.13/site-packages"
NOWHERE = "unix:///nowhere/engine.sock"
FILES = {
    "tasks/__init__.py": "",
    "tasks/daily.py": "def run():\n    return 1\n",
    "tasks/readme.txt": "no source\n",
    "broken.py": "def f(:\n",
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pykit.Index]:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    with pykit.serving(tmp_path / "index") as index:
        yield index


def config(*platforms: str, more: str = "") -> str:
    listed = ", ".join(f'"{each}"' for each in platforms)
    include = 'include = ["tasks/**", "broken.py"]'
    head = f'[service]\nstart = ["svc"]\n{include}\n[image]\nbase = "{pykit.BASE}"\nplatforms = [{listed}]\n'
    return head + more


def pinned(found: project.Project) -> Pins:
    bases = tuple(facts.read_base(pykit.BASE, each, "python3") for each in found.settings.image.platforms)
    builds = python.pin(found, {each.platform: each.facts for each in bases})
    return Pins(bases=bases, builds=builds)


def planned(found: project.Project, pins: Pins) -> Planned:
    return python.plan(found, python.collect(found, python.resolve(found, pins)))


def inside(plan: Planned) -> dict[str, set[str]]:
    """The files of each zip, by the zip's name."""
    return {
        name: set(zipfile.ZipFile(content.path or "").namelist())
        for name, content in ((name.rpartition("/")[2], content) for name, content in plan.kept.items())
    }


def service(tmp_path: Path, index: pykit.Index, *platforms: str, more: str = "") -> project.Project:
    asks = 'dependencies = ["lib"]\n'
    return pykit.service(tmp_path / "svc", index, asks, config(*platforms, more=more), FILES)


def library(folder: Path) -> None:
    files: dict[str, str | bytes] = {
        "lib/__init__.py": "from . import part\n",
        "lib/part.py": "x = 1\n",
        "lib/template.py": "{% what %}\n",
        "lib/own.py": "y = 1\n",
        "lib/__pycache__/own.cpython-313.pyc": b"its own, of which RECORD knows",
        "@/purelib/more.py": "z = 1\n",
        "@/scripts/tool.py": "#!python\n",
        "@/data/share/example.py": "a = 1\n",
    }
    pykit.wheel(folder, "lib", files=files)


def test_every_source_that_an_interpreter_may_import_gets_it(tmp_path: Path, index: pykit.Index) -> None:
    library(index.folder)
    found = service(tmp_path, index, HERE, THERE)
    pins = pinned(found)
    plan = planned(found, pins)
    assert inside(plan) == {
        "lib-1.0-py3-none-any.zip": {
            "__pycache__/more.cpython-313.pyc",
            "lib/__pycache__/__init__.cpython-313.pyc",
            "lib/__pycache__/part.cpython-313.pyc",
        },
        "svc-1.4.0-py3-none-any.zip": {"svc/__pycache__/__init__.cpython-313.pyc"},
        "app.zip": {"tasks/__pycache__/__init__.cpython-313.pyc", "tasks/__pycache__/daily.cpython-313.pyc"},
    }
    for image in plan.plans.images:  # of either platform, though only one of them runs here
        for layer in image.layers:
            spread = [each for each in layer.entries if isinstance(each, Unpack)]
            zips = {each.archive.rpartition("/")[2]: each.prefix for each in spread if each.archive.endswith(".zip")}
            wheels = {each.archive[5:-4] for each in spread if each.archive.endswith(".whl")}
            assert {name[:-4] for name in zips} - {"app"} == wheels
            assert all(prefix == ("/app" if name == "app.zip" else SITE) for name, prefix in zips.items())
    for name, content in plan.kept.items():
        assert store.checked("bytecode", content.sha256) == content.path, name


def test_only_what_changed_is_compiled_and_else_no_engine_is_asked(
    tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(index.folder)
    found = service(tmp_path, index, HERE)
    pins = pinned(found)
    first = planned(found, pins)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", NOWHERE)
        assert planned(found, pins) == first
    asked: list[list[str]] = []
    really = compiling.compiled

    def noted(units: Sequence[bytecode.Unit], ready: bytecode.Ready) -> Any:
        asked.append(sorted(each.stem for each in units))
        return really(units, ready)

    monkeypatch.setattr(compiling, "compiled", noted)
    (found.root / "tasks/daily.py").write_text("def run():\n    return 2\n")
    second = planned(project.read(found.root), pins)
    assert asked == [["app"]]
    same = {name for name, content in second.kept.items() if first.kept.get(name) == content}
    assert set(second.kept) - same == {"generated/bytecode/app.zip"}


def test_a_damaged_zip_is_made_anew(tmp_path: Path, index: pykit.Index) -> None:
    library(index.folder)
    found = service(tmp_path, index, HERE)
    pins = pinned(found)
    first = planned(found, pins)
    damaged = next(content.path for content in first.kept.values() if content.path)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    assert planned(found, pins) == first
    assert store.checked("bytecode", damaged.name)


def test_without_an_engine_the_setting_is_named(
    tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(index.folder)
    found = service(tmp_path, index, HERE)
    pins = pinned(found)
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    with pytest.raises(ResolveError, match=r"bytecode cannot be compiled: the engine at .* does not answer") as raised:
        planned(found, pins)
    assert "set `bytecode = false` below [image]" in raised.value.hint
    assert exit_code(raised.value) == 4
    bare = msgspec.structs.replace(found.settings.image, bytecode=False)
    settings = msgspec.structs.replace(found.settings, image=bare)
    plan = planned(msgspec.structs.replace(found, settings=settings), pins)
    assert plan.kept == {}


def test_a_platform_that_does_not_run_here_by_itself(tmp_path: Path, index: pykit.Index) -> None:
    library(index.folder)
    found = service(tmp_path, index, THERE)
    pins = pinned(found)
    if engine.facts().runs(THERE):
        assert planned(found, pins).kept
        return
    with pytest.raises(ResolveError, match=f"compiled on {THERE}, which does not run here") as raised:
        planned(found, pins)
    assert "bytecode = false" in raised.value.hint


def test_what_a_killed_run_left_goes_when_something_is_compiled(
    tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))  # where no other test has compiled the same
    library(index.folder)
    found = service(tmp_path, index, HERE)
    pins = pinned(found)
    dead = f"{owner.owner().rpartition('/')[0]}/1"  # this process's id, and another start
    labels = {owner.RUN: "killed-in-compiling", owner.OWNER: dead}
    image = engine.ensure(pins.bases[0].reference, pins.bases[0].digest, HERE)
    client.api().create_container(image, ["true"], labels=labels)
    assert planned(found, pins).kept
    assert owner.found(f"{owner.RUN}=killed-in-compiling") == []


def test_an_interpreter_that_is_another_one_than_the_lock_says(tmp_path: Path, index: pykit.Index) -> None:
    library(index.folder)
    found = service(tmp_path, index, HERE)
    pins = pinned(found)
    base = pins.bases[0]
    told = msgspec.structs.replace(base.facts, interpreter_version="3.13.99")
    pins = msgspec.structs.replace(pins, bases=(msgspec.structs.replace(base, facts=told),))
    with pytest.raises(CdafError, match=r"has Python 3\.13\.\d+ .*, and cdaf.lock has 3\.13\.99"):
        planned(found, pins)


def test_the_service_starts_from_bytecode_alone(shared: Path) -> None:
    """`python -v` says of each module what its code was read from."""
    opened = bundle.open(acceptance.packaged("orders", shared))
    image = next(each for each in building.images(opened) if each.platform == HERE)
    there = engine.load(image)
    run = ["docker", "run", "--rm", "--network=none", "--label=io.cdaf.test", there]
    done = subprocess.run([*run, "python", "-v", "-c", "import orders.web"], capture_output=True, text=True, check=True)
    read = re.findall(r"^# code object from '?(/app/[^']+?)'?$", done.stderr, re.MULTILINE)
    assert len(read) > 100
    assert [path for path in read if not path.endswith(".cpython-313.pyc")] == []
    # Nobody looks whether they fit their sources, so they have to be of these very sources.
    check = ["python", "--check-hash-based-pycs", "always", "-v", "-c", "import orders.web"]
    checked = subprocess.run([*run, *check], capture_output=True, text=True, check=True)
    assert sorted(re.findall(r"^# code object from '?(/app/[^']+?)'?$", checked.stderr, re.MULTILINE)) == sorted(read)


# As in tests/test_bundle.py: a file system of its own for one process.
FULL = ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"']
FILLING = """
import sys
from pathlib import Path
import msgspec
from cdaf.errors import CdafError, exit_code
from cdaf.images import content
from cdaf.languages._python import bytecode, compiling
from cdaf.languages._python.values import Target
from cdaf.languages._python.values import Target
target = msgspec.json.decode(sys.argv[1], type=Target)
source = content.of_file(Path(sys.argv[2]))
unit = bytecode.Unit("large", "app", "/app", files=(("/app/large.py", source),))
try:
    compiling.compiled([unit], bytecode._readying([target]))
except CdafError as error:
    print(exit_code(error), error.message, error.hint, sep="|")
"""


@pytest.mark.parametrize("size", [2_000_000, 700_000], ids=["going", "coming back"])
def test_a_full_disk_is_named(tmp_path: Path, size: int) -> None:
    base = facts.read_base(pykit.BASE, HERE, "python3")
    engine.ensure(base.reference, base.digest, HERE)
    large, cache = tmp_path / "large.py", tmp_path / "full"
    large.write_text(f"text = '{'x' * size}'\n")
    cache.mkdir()
    target = msgspec.json.encode(Target(platform=HERE, base=base)).decode()
    python = [sys.executable, "-c", FILLING, target, str(large)]
    environment = {**os.environ, "CDAF_CACHE": str(cache)}
    done = subprocess.run(
        [*FULL, str(cache), *python], capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment
    )
    assert done.returncode == 0, f"a file system of its own could not be mounted, or: {done.stderr}"
    code, message, hint = done.stdout.strip().split("|")
    assert code == "75"
    assert message == f"{cache}/scratch cannot be written: No space left on device"
    assert hint == f"free space on the disk of {cache}/scratch"

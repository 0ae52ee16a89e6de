"""Builds in the base's own image: what holds machine code, and what this machine cannot build."""

import platform
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cdaf.bases import facts
from cdaf.errors import ProjectError, ResolveError
from cdaf.images.plan import Place
from cdaf.languages import Collection, python
from cdaf.projects import project
from cdaf.projects.pins import Pins
from tests import pykit

pytestmark = pytest.mark.docker
HERE, THERE = ("linux/amd64", "linux/arm64") if platform.machine() == "x86_64" else ("linux/arm64", "linux/amd64")
TAG = f"cp313-cp313-linux_{platform.machine()}"
# In the image alone: another Python, another place, no network, nothing of the user.
INSIDE = """
import os, socket, sys
if sys.prefix == "/app/.venv":
    assert os.getcwd() == "/build/source" and sys.version_info[:2] == (3, 13), (os.getcwd(), sys.version)
    assert os.environ["SOURCE_DATE_EPOCH"] == "315532800"
    try:
        socket.create_connection(("192.0.2.1", 80), 1)
    except OSError as error:
        assert error.errno == 101, error  # no route: there is no network at all
    else:
        raise SystemExit("there is a network")
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pykit.Index]:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    with pykit.serving(tmp_path / "index") as index:
        yield index


def config(*platforms: str) -> str:
    listed = ", ".join(f'"{each}"' for each in platforms)
    return f'[service]\nstart = ["svc"]\n[image]\nbase = "{pykit.BASE}"\nplatforms = [{listed}]\n'


def pinned(found: project.Project) -> Pins:
    bases = tuple(facts.read_base(pykit.BASE, each, "python3") for each in found.settings.image.platforms)
    pins = Pins(bases=bases)
    return msgspec.structs.replace(pins, builds=python.pin(found, {each.platform: each.facts for each in bases}))


def collected(found: project.Project, pins: Pins) -> Collection:
    return python.collect(found, python.resolve(found, pins))


def test_a_native_wheel_is_built_in_the_base_and_kept(tmp_path: Path, index: pykit.Index) -> None:
    files = pykit.package("svc", "1.4.0", tag=TAG)
    files["backend/tiny.py"] += INSIDE
    found = pykit.service(tmp_path / "svc", index, config=config(HERE), files=files)
    pins = pinned(found)
    first = collected(found, pins)
    assert [each.dependency.archive for each in first.archives] == [f"deps/svc-1.4.0-{TAG}.whl"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cdaf.languages._python.native.in_image", None)
        patch.setattr("cdaf.languages._python.build.on_host", None)
        assert collected(found, pins).archives == first.archives
    python.plan(found, first)


def test_a_build_that_only_the_image_can_do(tmp_path: Path, index: pykit.Index) -> None:
    """The build requirement runs on the base's Python alone."""
    files = pykit.package("svc", "1.4.0")
    files["backend/tiny.py"] += "\nimport needed, sys\nassert sys.version_info[:2] == (3, 13)\n"
    files["pyproject.toml"] = files["pyproject.toml"].replace("requires = []", 'requires = ["needed"]')
    files["pyproject.toml"] += f'[[tool.uv.index]]\nname = "own"\nurl = "{index.url}/simple"\ndefault = true\n'
    pykit.wheel(index.folder, "needed", tag=f"cp313-cp313-manylinux_2_28_{platform.machine()}")
    found = pykit.service(tmp_path / "svc", index, config=config(HERE), files=files)
    archives = collected(found, pinned(found)).archives
    assert [each.dependency.archive for each in archives] == ["deps/svc-1.4.0-py3-none-any.whl"]


def test_a_native_wheel_for_a_platform_that_does_not_run_here(tmp_path: Path, index: pykit.Index) -> None:
    from cdaf import engine

    if engine.facts().runs(THERE):
        pytest.fail(f"{THERE} runs here, so that nothing is left to refuse; run this test without emulators")
    found = pykit.service(tmp_path / "svc", index, config=config(HERE, THERE), files=pykit.package("svc", tag=TAG))
    with pytest.raises(ResolveError) as caught:
        collected(found, pinned(found))
    assert f"svc has to be built on {THERE}, which does not run here" in caught.value.message


def test_a_build_that_fails_in_the_image_shows_its_output(tmp_path: Path, index: pykit.Index) -> None:
    files = pykit.package("svc", "1.4.0", tag=TAG)
    files["backend/tiny.py"] += "\nimport sys\nif sys.prefix == '/app/.venv': raise OSError('no compiler')\n"
    found = pykit.service(tmp_path / "svc", index, config=config(HERE), files=files)
    with pytest.raises(ResolveError) as caught:
        collected(found, pinned(found))
    assert caught.value.message == f"svc cannot be built in {pykit.BASE}"
    assert "no compiler" in caught.value.output
    assert "build.image" in caught.value.hint


def test_a_wheel_of_another_python_is_refused(tmp_path: Path, index: pykit.Index) -> None:
    files = pykit.package("svc", "1.4.0", tag=TAG.replace("313", "312"))
    found = pykit.service(tmp_path / "svc", index, config=config(HERE), files=files)
    with pytest.raises(ResolveError, match=r"which python:3\.13-slim cannot use"):
        collected(found, pinned(found))


BUILD = """
[build]
run = [["maker", "made.txt"], ["sh", "-c", "mkdir -p dist && cp made.txt dist/x && chmod +x dist/x && rm made.txt"]]
outputs = ["dist/**"]
"""


def test_build_commands_find_a_developer_s_tools_and_their_outputs_enter(tmp_path: Path, index: pykit.Index) -> None:
    code = "import sys, svc\ndef main():\n    open(sys.argv[1], 'w').write(svc.name + open('text').read())\n"
    pykit.wheel(index.folder, "maker", files={"maker.py": code}, entry_points="[console_scripts]\nmaker = maker:main\n")
    more = '[dependency-groups]\ndev = ["maker"]\n'
    files = {"text": " tracked", ".gitignore": "dist\n", "untracked": ""}
    found = pykit.service(tmp_path / "svc", index, more, config(HERE, THERE) + BUILD, files)
    pins = pinned(found)
    collection = collected(found, pins)
    assert [each.dependency.name for each in collection.archives] == ["svc"]
    planned = python.plan(found, collection)
    assert planned.generated["generated/build/dist/x"] == b"svc tracked"
    for image in planned.plans.images:
        assert Place("generated/build/dist/x", "/app/dist/x", 0o755) in image.layers[-1].entries
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cdaf.languages._shared.commands._run", None)
        assert python.plan(found, collected(found, pins)).generated == planned.generated


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('run = [["false"]]\noutputs = ["x"]', "[build] run failed"),
        ('run = [["no-such-program"]]\noutputs = ["x"]', "[build] run failed"),
        ('run = [["true"]]\noutputs = ["x", "pyproject.toml"]', "build.outputs: 'x' matches nothing"),
    ],
)
def test_build_commands_that_fail_or_make_nothing(tmp_path: Path, index: pykit.Index, table: str, told: str) -> None:
    found = pykit.service(tmp_path / "svc", index, config=config(HERE) + f"[build]\n{table}\n")
    with pytest.raises(ProjectError) as caught:
        collected(found, pinned(found))
    assert caught.value.message.startswith(told)

"""Files of archives that are left out of the image: what is there, what RECORD says, and what is refused."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from cdaf import progress
from cdaf.errors import ProjectError
from cdaf.images import content, layer, layers, plan
from cdaf.languages import Planned, python
from cdaf.projects import project, sealing
from tests import pykit

FILES: dict[str, str | bytes] = {
    "common/__init__.py": "",
    "common/tests/__init__.py": "",
    "common/tests/data/x.json": "{}",
    "common/sub/tests/test_it.py": "",
    "common/latests/kept.py": "",
    "@/purelib/common_more/tests/test_more.py": "",
    "@/scripts/common-tool": "#!python\n",
    "@/scripts/common-shell": "#!/bin/sh\n",
    "@/data/share/common/readme.txt": "x",
    "%/LICENSE": "free",
}
SITE = "app/.venv/lib/python3.13/site-packages"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[pykit.Index]:
    with pykit.serving(tmp_path / "index") as index:
        pykit.wheel(index.folder, "common", files=FILES, entry_points="[console_scripts]\ncommon = common:main\n")
        pykit.wheel(index.folder, "other", files={"other/__init__.py": "", "other/tests/a.py": ""})
        yield index


def service(folder: Path, index: pykit.Index, *patterns: str, more: str = "") -> project.Project:
    listed = ", ".join(f'"{pattern}"' for pattern in patterns)
    files = {"src/svc/tests/test_own.py": "", "smoke/test_it.py": ""}
    config = f"{pykit.CONFIG}exclude = [{listed}]\n{more}"
    return pykit.service(folder, index, 'dependencies = ["common", "other"]\n', config, files)


def through(found: project.Project) -> tuple[Planned, dict[str, content.Content]]:
    pins = pykit.pinned(platforms=found.settings.image.platforms)
    facts = dict.fromkeys(found.settings.image.platforms, pykit.FACTS)
    pins = msgspec.structs.replace(pins, builds=python.pin(found, facts))
    collection = python.collect(found, python.resolve(found, pins))
    planned = python.plan(found, collection)
    known = ((each.dependency, each.path) for each in collection.archives)
    archives = {told.archive: content.of_file(path, told.sha256) for told, path in known}
    generated = {name: content.of_bytes(data) for name, data in planned.generated.items()}
    own = {f"app/{file.name}": content.of_file(file.path) for file in found.files}
    own |= {f"smoke/{file.name}": content.of_file(file.path) for file in found.checks}
    return planned, archives | generated | own


def placed(layers: tuple[plan.Layer, ...], held: Mapping[str, content.Content]) -> dict[str, str]:
    found = (entry for each in layers for entry in layer.paths(each, held, {}))
    return {header.path: origin for header, origin in found if header.kind != "dir"}


def recorded(paths: Mapping[str, str], held: Mapping[str, content.Content], name: str) -> set[str]:
    data = held[paths[f"{SITE}/{name}.dist-info/RECORD"]].data
    return {row[0] for row in csv.reader(io.StringIO(data.decode()))}


def test_what_a_pattern_matches_is_gone_and_record_does_not_name_it(tmp_path: Path, index: pykit.Index) -> None:
    patterns = "**/tests/**", "bin/common-shell", "bin/common-tool", "share/common", "**/LICENSE"
    planned, held = through(service(tmp_path / "svc", index, *patterns))
    whole, everything = through(service(tmp_path / "whole", index))
    for ours, theirs in zip(planned.plans.images, whole.plans.images, strict=True):
        paths, before = placed(ours.layers, held), placed(theirs.layers, everything)
        assert {path.removeprefix(f"{SITE}/") for path in before.keys() - paths.keys()} == {
            "common/tests/__init__.py",
            "common/tests/data/x.json",
            "common/sub/tests/test_it.py",
            "common_more/tests/test_more.py",
            "common-1.0.dist-info/LICENSE",
            "other/tests/a.py",
            "svc/tests/test_own.py",
            "app/.venv/bin/common-tool",
            "app/.venv/bin/common-shell",
            "app/.venv/share/common/readme.txt",
        }
        assert f"{SITE}/common/latests/kept.py" in paths
        listed = recorded(paths, held, "common-1.0")
        there = {path for path, origin in paths.items() if "common-1.0" in origin or path.endswith("bin/common")}
        there |= {f"{SITE}/common-1.0.dist-info/INSTALLER"}
        named = {
            path.removeprefix(f"{SITE}/") if path.startswith(SITE) else f"../../../{path.removeprefix('app/.venv/')}"
            for path in there
        }
        assert listed == named


def test_without_patterns_nothing_is_left_out_and_the_plan_is_what_it_was(tmp_path: Path, index: pykit.Index) -> None:
    planned, held = through(service(tmp_path / "svc", index))
    paths = placed(planned.plans.images[0].layers, held)
    assert recorded(paths, held, "common-1.0") >= {"common/tests/__init__.py", "common/tests/data/x.json"}
    assert f"{SITE}/svc/tests/test_own.py" in paths


def test_the_checks_own_environment_holds_everything(tmp_path: Path, index: pykit.Index) -> None:
    """On a base of its own, where what is left out of the image may be needed; both RECORDs are true."""
    more = f'[smoke]\nchecks = ["pytest"]\nimage = "{pykit.BASE}"\ngroup = "smoke"\n'
    files = {"smoke/test_it.py": ""}
    config = f'{pykit.CONFIG}exclude = ["common/tests"]\n{more}'
    asked = 'dependencies = ["common"]\n[dependency-groups]\nsmoke = ["common"]\n'
    planned, held = through(pykit.service(tmp_path / "svc", index, asked, config, files))
    image, checks = planned.plans.images[0], planned.plans.smoke[0]
    paths, theirs = placed(image.layers, held), placed(checks.layers, held)
    assert f"{SITE}/common/tests/__init__.py" not in paths
    assert f"{SITE}/common/tests/__init__.py" in theirs
    assert "common/tests/__init__.py" not in recorded(paths, held, "common-1.0")
    assert "common/tests/__init__.py" in recorded(theirs, held, "common-1.0")


def test_patterns_that_match_nothing_are_told(
    tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "warn", said.append)
    through(service(tmp_path / "svc", index, "**/tests/**", "nothing/**", "**/*.nothing"))
    assert [each.split("'")[1] for each in said if "matches no file" in each] == ["nothing/**", "**/*.nothing"]


@pytest.mark.parametrize(
    "pattern", ["**", "common-1.0.dist-info", "**/RECORD", "**/*.txt", "common-1.0.dist-info/METADATA"]
)
def test_what_every_environment_needs_is_never_left_out(tmp_path: Path, index: pykit.Index, pattern: str) -> None:
    with pytest.raises(ProjectError) as caught:
        through(service(tmp_path / "svc", index, pattern))
    assert f"{pattern!r} would leave out" in caught.value.message
    assert "common 1.0" in caught.value.message


@pytest.mark.parametrize("pattern", ["/app/x", "../x", "a/../b", ""])
def test_a_pattern_that_is_no_path_below_site_packages(tmp_path: Path, index: pykit.Index, pattern: str) -> None:
    with pytest.raises(ProjectError, match=r"image\.exclude"):
        service(tmp_path / "svc", index, pattern)


def test_a_wheel_with_one_name_in_two_places_loses_the_right_one(tmp_path: Path, index: pykit.Index) -> None:
    files: dict[str, str | bytes] = {"bin/tool": "module", "@/scripts/tool": "#!/bin/sh\n", "twice/__init__.py": ""}
    pykit.wheel(index.folder, "twice", files=files)
    config = f'{pykit.CONFIG}exclude = ["share/**", "common/tests/**"]\n'
    asked = 'dependencies = ["common", "twice"]\n'
    planned, held = through(pykit.service(tmp_path / "svc", index, asked, config))
    paths = placed(planned.plans.images[0].layers, held)
    assert {f"{SITE}/bin/tool", "app/.venv/bin/tool"} <= paths.keys()


def test_the_image_is_foretold_without_what_is_left_out(tmp_path: Path, index: pykit.Index) -> None:
    planned, held = through(service(tmp_path / "svc", index, "**/tests/**"))
    bare = plan.BasePin("scratch", "")
    images = tuple(msgspec.structs.replace(each, base=bare) for each in planned.plans.images)
    foretold = sealing.foretell(msgspec.structs.replace(planned.plans, images=images), held)
    assert [each.platform for each in foretold] == ["linux/amd64", "linux/arm64"]
    for each in foretold:
        listed = layers.listings((one.name, one.digest) for one in each.layers)
        assert b"common/__init__.py" in listed
        assert b"/tests/" not in listed

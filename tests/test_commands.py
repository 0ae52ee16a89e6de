"""The commands of CD on a small service: what stands on stdout, what is left behind, and which exit code."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from cdaf.bundles.bundle import Bundle
from tests import stands
from tests.acceptance import ask, cdaf

pytestmark = pytest.mark.docker
CHECK = "import os, urllib.request; urllib.request.urlopen(os.environ['CDAF_SMOKE_URL'] + '/count')"


@pytest.fixture
def tiny(tmp_path: Path, engine: object) -> Bundle:
    return stands.made(tmp_path / "dist", checks=CHECK)


def test_image_prints_the_digest_of_its_layout(tiny: Bundle, tmp_path: Path) -> None:
    digest = cdaf("image", tiny.path, "--layout", tmp_path / "layout").stdout.strip()
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert [each["digest"] for each in index["manifests"]] == [digest]
    told = json.loads(cdaf("image", tiny.path, "--json").stdout)
    assert told["digest"] == told["platforms"]["linux/amd64"]["digest"] == digest


def test_image_refuses_a_platform_that_is_not_there(tiny: Bundle) -> None:
    told = cdaf("image", tiny.path, "--platform", "linux/s390x", expect=2).stderr
    assert "linux/s390x" in told


def test_publish_needs_a_passed_smoke_test(tiny: Bundle, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    refused = cdaf("publish", tiny.path, "--to", f"layout:{layout}", expect=8)
    assert refused.stdout == ""
    assert not layout.exists()
    report = Path(cdaf("smoke", tiny.path).stdout.strip())
    assert report.name == "report.html"
    assert report.is_file()
    reference = cdaf("publish", tiny.path, "--to", f"layout:{layout}").stdout.strip()
    assert reference == f"{layout}@{cdaf('image', tiny.path).stdout.strip()}"


def test_what_stands_where_is_told_beside_the_results(tiny: Bundle, tmp_path: Path) -> None:
    done = cdaf("release", tiny.path, "--to", f"layout:{tmp_path / 'layout'}", "--to", "engine:tiny-told")
    layout, image = done.stdout.splitlines()
    digest = layout.partition("@")[2]
    try:
        assert f"layout:{tmp_path / 'layout'}: {layout} (created)\n" in done.stderr
        assert f"engine:tiny-told: {image} (created)" in done.stderr
        assert digest == image or f"{image} (created), its own name for {digest}\n" in done.stderr
        assert done.stderr.count("\ntags: 1.2.3\n") == 1
    finally:
        subprocess.run(["docker", "rmi", *names_of("tiny-told")], check=True, capture_output=True)


def names_of(repository: str) -> list[str]:
    """An image's names in the engine."""
    return ask(["docker", "images", repository, "--format", "{{.Repository}}:{{.Tag}}"]).split()


def test_a_dry_run_sends_nothing(tiny: Bundle, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    environment = {"CDAF_PUBLISH_TO": f"layout:{layout}, engine:tiny-dry"}
    told = json.loads(cdaf("release", tiny.path, "--dry-run", "--json", env=environment).stdout)
    assert [each["target"] for each in told["publications"]] == [f"layout:{layout}", "engine:tiny-dry"]
    assert {each["state"] for each in told["publications"]} == {"planned"}
    assert not layout.exists()
    assert "publications" not in next(tiny.path.parent.glob("*.release.toml")).read_text()


def test_a_dry_run_names_what_the_run_then_makes(tiny: Bundle) -> None:
    foretold = cdaf("release", tiny.path, "--dry-run").stdout
    try:
        done = cdaf("release", tiny.path)
        assert done.stdout == foretold
        layout, image = foretold.splitlines()
        assert layout.startswith(f"{tiny.path.with_suffix('.oci')}@sha256:")
        assert image in ask(["docker", "images", "tiny", "--no-trunc", "--format", "{{.ID}}"]).split()
    finally:
        subprocess.run(["docker", "rmi", *names_of("tiny")], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["smoke", "release"])
def test_a_failed_test_says_where_its_report_lies(command: str, tmp_path: Path, engine: object) -> None:
    made = stands.made(tmp_path / "dist", server="import sys; sys.exit('no')")
    done = cdaf(command, made.path, "--json", expect=7)
    error = json.loads(done.stdout)["error"]
    assert Path(error["report"]).name == "report.html"
    assert 'state = "failed"' in Path(error["record"]).read_text()
    assert Path(error["report"]).is_file()
    assert error["report"] in error["hint"]


def test_release_follows_config(tiny: Bundle, tmp_path: Path) -> None:
    config = tmp_path / "cd.toml"
    config.write_text(f'[environments.test]\nto = ["layout:{tmp_path}/test"]\ntags = ["checked"]\n')
    record = tmp_path / "records" / "tiny.toml"
    record.parent.mkdir()
    words: list[str | Path] = ["release", tiny.path, "--to", "test", "--config", config, "--record", record, "--json"]
    [publication] = json.loads(cdaf(*words).stdout)["publications"]
    assert publication["tags"] == ["checked"]
    assert publication["state"] == "created"
    assert publication["digest"] in record.read_text()


@pytest.mark.parametrize("wrong", ["tset", "TEST", "layuot:x", "test2"])
def test_a_misspelt_target_ends_before_anything_is_done(tiny: Bundle, tmp_path: Path, wrong: str) -> None:
    config = tmp_path / "cd.toml"
    config.write_text('[environments.test]\nto = ["layout:x"]\n')
    told = cdaf("release", tiny.path, "--to", wrong, "--config", config, expect=2)
    assert wrong in told.stderr
    assert [path.name for path in tiny.path.parent.iterdir()] == [tiny.path.name]


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM], ids=lambda blow: blow.name)
def test_up_serves_until_it_is_told_to_end(tiny: Bundle, blow: signal.Signals) -> None:
    command = [sys.executable, "-m", "cdaf", "up", str(tiny.path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    ) as running:
        try:
            assert running.stdout is not None
            url = running.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/count") as answer:
                assert answer.read() == b"1"
        finally:
            running.send_signal(blow)
            rest, told = running.communicate()
    assert running.returncode == 0
    assert rest == ""
    assert told.splitlines()[-1] == "stopped"


def test_what_another_machine_tested_is_joined(tiny: Bundle, tmp_path: Path) -> None:
    cdaf("smoke", tiny.path, "--record", tmp_path / "theirs.toml")
    target = f"layout:{tmp_path / 'layout'}"
    cdaf("publish", tiny.path, "--to", target, expect=8)
    assert "no such file" in cdaf("publish", tiny.path, "--to", target, "--join", tmp_path / "x", expect=2).stderr
    cdaf("publish", tiny.path, "--to", target, "--join", tmp_path / "theirs.toml")
    assert 'state = "passed"' in next(tiny.path.parent.glob("*.release.toml")).read_text()

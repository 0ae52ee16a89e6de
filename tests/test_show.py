"""What `show` tells of a bundle, and of a project's settings."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cdaf.bundles import bundle, show
from cdaf.projects import inferred
from cdaf.settings import origins
from tests import bundlekit, makers

WHEEL = "deps/flask-3.1.0-py3-none-any.whl"


def run(*words: str | Path, **more: object) -> str:
    command = [sys.executable, "-m", "cdaf", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True, **more).stdout  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def sealed(tmp_path: Path) -> bundle.Bundle:
    """A bundle whose wheel is one."""
    inside = {"flask/__init__.py": "x = 1\n", "flask/templates/a b.html": "<p>"}
    wheel = makers.archive(tmp_path / "flask.whl", inside)
    manifest = bundlekit.manifest()
    import hashlib

    import msgspec

    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    dependency = msgspec.structs.replace(manifest.dependencies[0], sha256=digest)
    manifest = msgspec.structs.replace(manifest, dependencies=(dependency,))
    return bundle.seal(tmp_path, manifest, bundlekit.plans(), {**bundlekit.CONTENT, WHEEL: wheel})


def test_every_path_has_an_origin(sealed: bundle.Bundle) -> None:
    found = {each.path: each for each in show.paths(sealed)["linux/amd64"]}
    site = "/app/.venv/lib/python3.13/site-packages"
    assert found[f"{site}/flask/__init__.py"].origin == f"{WHEEL}!flask/__init__.py"
    assert found[f"{site}/flask/templates/a b.html"].origin == f"{WHEEL}!flask/templates/a b.html"
    source = found["/app/orders.py"]
    assert (source.origin, source.owner, source.layer, source.size) == ("app/orders.py", "service", "service", 16)
    link = found["/app/.venv/bin/python"]
    assert (link.kind, link.target, link.size) == ("link", "/usr/local/bin/python3.13", None)
    state = found["/app/state"]
    assert (state.kind, state.mode, state.uid, state.gid) == ("dir", "0755", 10001, 10001)
    assert (found[site].kind, found[site].origin) == ("dir", "folder")


def test_files_on_the_command_line(sealed: bundle.Bundle) -> None:
    text = run("show", sealed.path, "--files")
    assert text.splitlines()[0] == "Files of linux/amd64"
    assert re.search(r"^/app/orders.py +0644 +0:0 +16 +service +orders +app/orders.py$", text, re.MULTILINE)
    assert "\nNot listed: what the base holds\n" in text
    assert run("show", sealed.path, "--files", "--platform", "linux/amd64") == text
    told = json.loads(run("show", sealed.path, "--files", "--json"))
    [source] = [each for each in told["files"]["linux/amd64"] if each["path"] == "/app/orders.py"]
    assert source["owner"] == "service"
    assert told["not_listed"] == [
        {"platform": "linux/amd64", "base": "python:3.13-slim", "digest": bundlekit.BASE.digest}
    ]


def test_tables(sealed: bundle.Bundle) -> None:
    text = run("show", sealed.path)
    for title in ("Service", "Source", "Base", "Layers", "Dependencies", "Made by"):
        assert f"{title}\n" in text
    assert re.search(r"^identity +sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert re.search(r"^flask +3\.1\.0 +main +linux/amd64 ", text, re.MULTILINE)


def test_json_is_the_whole_manifest(sealed: bundle.Bundle) -> None:
    told = json.loads(run("show", sealed.path, "--json"))
    assert told["identity"] == sealed.identity
    assert told["manifest"]["service"]["start"] == ["gunicorn", "orders:app"]
    assert told["manifest"]["dependencies"][0]["archive"] == WHEEL


SETTINGS = '[service]\nstart = ["gunicorn", "orders:app"]\nport = 8000\n[environments.test]\nto = ["layout:x"]\n'


def test_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makers.write(tmp_path, {"cdaf.toml": SETTINGS})
    monkeypatch.setenv("CDAF_SERVICE_PORT", "9000")
    found = {each.key: each for each in origins.find(tmp_path)}
    assert (found["service.port"].value, found["service.port"].origin) == (9000, "CDAF_SERVICE_PORT")
    assert found["service.start"].origin == "cdaf.toml"
    assert found["service.user"].value == {"name": "app", "id": 10001}
    assert found["image.platforms"].origin == "default"
    assert found["environments.test"].origin == "cdaf.toml"


def test_origins_on_the_command_line(tmp_path: Path) -> None:
    makers.write(tmp_path, {"cdaf.toml": SETTINGS})
    makers.write(tmp_path, {"uv.lock": "", "pyproject.toml": '[project]\nname = "Orders"\nversion = "1.4.0"\n'})
    text = run("show", "--origins", cwd=tmp_path)
    for told in (
        "service.port +8000 +cdaf.toml",
        'service.name +"Orders" +pyproject.toml',
        'service.version +"1.4.0" +pyproject.toml',
        'service.language +"python" +uv.lock',
        'image.base +"python:3.13-slim" +default',
        "service.repository +default",
    ):
        assert re.search(f"^{told}$", text, re.MULTILINE), told
    short = run("show", tmp_path)
    assert re.search(r"^service.port +8000$", short, re.MULTILINE)
    assert "service.repository" not in short
    assert "cdaf.toml" not in short
    told = json.loads(run("show", tmp_path, "--json"))["settings"]
    assert {"key": "service.port", "value": 8000, "origin": "cdaf.toml"} in told


def test_what_nobody_wrote_has_its_origin_too(tmp_path: Path) -> None:
    root = makers.repository(tmp_path / "shop", {"cdaf.toml": SETTINGS, "Dockerfile": "FROM scratch\n"})
    makers.git(root, "tag", "v2.1.0")
    told = {each.key: (each.value, each.origin) for each in inferred.find(root)}
    assert told["service.name"] == ("shop", "the folder's name")
    assert told["service.version"] == ("2.1.0", "git's tag v2.1.0")
    assert told["service.language"] == ("docker", "Dockerfile")
    assert told["image.base"] == (None, "default")


def test_options_of_the_other_kind_are_refused(sealed: bundle.Bundle, tmp_path: Path) -> None:
    for words, said in ((("--files", tmp_path), "is a folder"), (("--origins", sealed.path), "is a file")):
        command = [sys.executable, "-m", "cdaf", "show", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr

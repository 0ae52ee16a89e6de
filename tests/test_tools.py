"""The tools that bring up a machine: sources, stand-ins, servers, and the engine itself."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import apt, machine, push, pythons, registry, rootfs, serve, standins, state, tasks, uv
from tools import engine as docker

RegistryFactory = Callable[..., serve.Registry]
IndexFactory = Callable[..., serve.PackageIndex]
ROOT = Path(__file__).resolve().parents[1]
DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # and a comment
deb-src http://mirror.example/debian bookworm main
deb http://other.example/tool stable main
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of its own, with a path short enough for a socket."""
    place = Path(tempfile.mkdtemp(prefix="cdaf-"))
    monkeypatch.setenv("CDAF_TOOLS_STATE", str(place))
    yield place
    shutil.rmtree(place)


def _etc(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        (folder / "sources.list.d" / name.replace("_", ".")).write_text(text)
    return folder


# apt


def test_both_forms_of_sources_are_read(tmp_path: Path) -> None:
    found = apt.sources(_etc(tmp_path, debian_sources=DEB822, more_list=ONE_LINE))
    assert [source.uris[0] for source in found] == [
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
        "http://mirror.example/debian",
        "http://other.example/tool",
    ]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[2].components == ("main", "contrib")
    assert found[2].signed_by == "/k.gpg"


@pytest.mark.parametrize(
    ("name", "suites"),
    [("trixie", ["trixie", "trixie-security"]), ("forky", ["forky"]), ("bookworm", ["bookworm", "bookworm-security"])],
)
def test_a_neighbouring_release_is_derived_from_the_machines_sources(
    tmp_path: Path, name: str, suites: list[str]
) -> None:
    known = apt.sources(_etc(tmp_path, debian_sources=DEB822))
    found = apt.neighbour(name, known, "bookworm")
    assert [suite for _, suite in found] == suites
    assert found[0][0].line(name).endswith(f" http://mirror.example/debian {name} main")


def test_without_a_source_of_this_release_none_is_derived(tmp_path: Path) -> None:
    known = apt.sources(_etc(tmp_path, more_list="deb http://other.example/tool stable main\n"))
    with pytest.raises(state.ToolError, match="none can be derived for trixie"):
        apt.neighbour("trixie", known, "bookworm")


# state


def test_a_process_is_ours_only_while_it_is_that_very_process(home: Path) -> None:
    pid = state.spawn("sleeper", ["sleep", "60"])
    assert state.alive("sleeper") == pid
    state.write("stranger", {"pid": pid, "born": "1"})
    assert state.alive("stranger") is None
    assert not state.stop("stranger")
    assert state.stop("sleeper")
    assert state.alive("sleeper") is None


def test_a_damaged_note_counts_as_none(home: Path) -> None:
    (home / "engine.json").write_text("{")
    assert state.read("engine") == {}


def test_a_failing_program_is_an_error_with_its_output() -> None:
    with pytest.raises(state.ToolError, match="can't do it: sh ended with 3") as caught:
        state.run(["sh", "-c", "echo why >&2; exit 3"], "do it")
    assert caught.value.output == "why\n"


def test_a_missing_program_is_an_error() -> None:
    with pytest.raises(state.ToolError, match="there is no program no-such-program"):
        state.run(["no-such-program"], "do it")


# images


def test_an_overlay_holds_its_parents_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = {"usr/local/bin/entry": b"#!/bin/sh\n", "etc/x.conf": b"x"}
    first = rootfs.overlay(files, {"usr/bin/python": "python3"}, tmp_path / "a")
    time.sleep(0.01)
    second = rootfs.overlay(files, {"usr/bin/python": "python3"}, tmp_path / "b")
    assert (first.digest, first.diff_id, first.size) == (second.digest, second.diff_id, second.size)
    with tarfile.open(tmp_path / "a") as tar:
        assert tar.getnames() == sorted(tar.getnames())
        assert tar.getmember("usr/local/bin/entry").mode == 0o755
        assert tar.getmember("etc/x.conf").mode == 0o644
        assert tar.getmember("usr/bin/python").linkname == "python3"


def test_a_root_file_system_becomes_a_layer_without_names_of_the_machine(tmp_path: Path) -> None:
    status = b"Package: base\nVersion: 1.2\n\nPackage: other\nVersion: 3\n"
    contents = {
        "./etc/apt/sources.list": b"deb http://mirror.example",
        "./etc/hosts": b"",
        "./var/lib/dpkg/status": status,
        "./var/log/apt.log": b"x",
    }
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname = len(content), int(time.time()), "root"
            tar.addfile(member, io.BytesIO(content))
    layer, versions = rootfs.layer(tmp_path / "root.tar", tmp_path / "layer")
    assert versions == {"base": "1.2", "other": "3"}
    with tarfile.open(tmp_path / "layer") as tar:
        assert tar.getnames() == ["etc/hosts", "var/lib/dpkg/status"]
        assert {(member.mtime, member.uname) for member in tar} == {(rootfs.EPOCH, "")}
    assert layer.size == (tmp_path / "layer").stat().st_size


def test_every_stand_in_has_its_own_key_and_says_what_it_is() -> None:
    assert len({standins.key(image) for image in standins.ALL}) == len(standins.ALL)
    for image in standins.ALL:
        labels = standins._config(image, {image.shows: "9"})["Labels"]
        assert labels[standins.LABEL] == "true"
        assert labels["org.opencontainers.image.version"] == "9"


def test_an_image_is_served_as_it_was_pushed(registry: serve.Registry, tmp_path: Path) -> None:
    layer = rootfs.overlay({"hello": b"x" * 100}, {}, tmp_path / "layer")
    images = [push.Image(f"linux/{arch}", (layer,), {}, "2025-01-01T00:00:00Z") for arch in ("amd64", "arm64/v8")]
    digest = push.push(registry.port, "library/x", "1", images)
    assert push.push(registry.port, "library/x", "1", images) == digest
    assert push.served(registry.port, "library/x", "1") == digest
    assert push.served(registry.port, "library/x", "2") is None


# servers


def _status(url: str, login: str = "") -> int:
    import base64

    request = urllib.request.Request(url)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_registry_may_demand_a_login(registry_factory: RegistryFactory) -> None:
    guarded = registry_factory(user="ann", password="s3cret")
    assert _status(f"{guarded.url}/v2/") == http.client.UNAUTHORIZED
    assert _status(f"{guarded.url}/v2/", "ann:wrong") == http.client.UNAUTHORIZED
    assert _status(f"{guarded.url}/v2/", "ann:s3cret") == http.client.OK


def test_a_read_only_registry_refuses_to_be_written(
    registry_factory: RegistryFactory, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layer = rootfs.overlay({"hello": b"x"}, {}, tmp_path / "layer")
    image = push.Image("linux/amd64", (layer,), {}, "2025-01-01T00:00:00Z")
    guarded = registry_factory(read_only=True)
    with pytest.raises(state.ToolError, match=r"answers POST .* with 405"):
        push.push(guarded.port, "x", "1", [image])


def test_the_index_takes_a_wheel_once_and_serves_it(package_index: serve.PackageIndex, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path)
    assert _publish(wheel, package_index).returncode == 0
    assert (package_index.folder / wheel.name).read_bytes() == wheel.read_bytes()
    assert _status(f"{package_index.simple}demo/") == http.client.OK


def test_the_index_may_demand_a_login(package_index_factory: IndexFactory, tmp_path: Path) -> None:
    guarded = package_index_factory(user="ann", password="s3cret")
    wheel = _wheel(tmp_path)
    assert _publish(wheel, guarded, "wrong").returncode != 0
    assert _publish(wheel, guarded).returncode == 0


def _publish(wheel: Path, index: serve.PackageIndex, password: str = "") -> subprocess.CompletedProcess[bytes]:
    login = ["--username", index.user or "anyone", "--password", password or index.password or "anything"]
    command = [uv.find() or "uv", "publish", "--publish-url", index.upload, *login, str(wheel)]
    return subprocess.run(command, capture_output=True, check=False)


def _wheel(folder: Path) -> Path:
    import zipfile

    path = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo.py", "")
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return path


# programs


@pytest.mark.slow
def test_uv_comes_from_the_package_index_when_there_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert uv.find() is None
    place = uv.ensure()
    assert place.startswith(str(home))
    assert uv.ensure() == place
    assert "uv" in (state.answers([place, "--version"]) or "")


def test_the_interpreters_found_are_what_they_are_called() -> None:
    found = pythons.here()
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in found
    for version, place in found.items():
        assert (state.answers([place, "--version"]) or "").startswith(f"Python {version}.")


def test_make_only_calls_tasks() -> None:
    text = (ROOT / "Makefile").read_text()
    commands = [line.strip() for line in text.splitlines() if line.startswith("\t")]
    assert commands == ["@python3 tools/tasks.py $@"]
    targets = text.split(".PHONY:")[1].splitlines()[0].split()
    assert set(targets) == {*tasks.TASKS, "help"}


def test_ci_starts_from_a_program_of_its_own() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR


def test_a_wrong_verb_is_a_usage_error() -> None:
    done = subprocess.run([sys.executable, "tools/bare.py", "upp"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"up " in done.stderr


def test_without_root_a_missing_engine_is_an_error_with_a_hint() -> None:
    if os.geteuid():
        prefix: list[str] = []
    else:
        prefix = ["setpriv", "--reuid", "65534", "--clear-groups"]
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tools import engine; engine.start('')"
    command = [*prefix, "/usr/bin/python3", "-c", code, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "only root can start one" in done.stderr


# the engine


@pytest.mark.docker
def test_the_engine_knows_images_by_their_public_names(engine: docker.Engine, mirror: str) -> None:
    said = state.answers(["docker", "pull", "-q", "python:3.13-slim"], None, 120)
    assert said == "docker.io/library/python:3.13-slim"
    out = state.run(["docker", "run", "--rm", "python:3.13-slim", "python", "--version"], "ask for the version")
    assert out.startswith("Python 3.13.")


@pytest.mark.docker
def test_two_starts_at_once_end_at_one_engine() -> None:
    command = [sys.executable, "tools/bare.py", "up"]
    both = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]


@pytest.mark.docker
def test_the_environment_is_for_a_shell() -> None:
    script = f'eval "$({sys.executable} tools/bare.py env)" && docker compose version --short && uv --version'
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    clean |= {name: os.environ[name] for name in ("CDAF_TOOLS_STATE", "XDG_CACHE_HOME") if name in os.environ}
    done = subprocess.run(["sh", "-ec", script], cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) >= 3


@pytest.mark.docker
def test_the_machines_own_engine_is_used_as_it_is(engine: docker.Engine, home: Path) -> None:
    """An engine that the environment names, seen with a state folder that has started none."""
    state.write(registry.MIRROR, {"port": 1})
    found = machine.up(indexed=False)
    assert found == docker.Engine(os.environ.get("DOCKER_HOST", ""), found.client, own=False)
    assert machine.up(indexed=False) == found
    assert not {place.name for place in home.iterdir()} - {"mirror.json", "public.json", "up.lock"}
    assert "DOCKER_HOST" not in machine.environment()


@pytest.mark.docker
def test_an_engine_of_our_own_is_started_mended_and_stopped(
    engine: docker.Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not engine.own:
        assert not state.read(docker.OWN)  # the machine has one, which is not ours to stop
        return
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("CDAF_TOOLS_DOCKERD", "unshare --net dockerd")
    try:
        port = registry.start()
        first = docker.start(f"http://127.0.0.1:{port}")
        assert docker.answers(first.client, os.environ | docker.environment(first))
        assert docker.start(f"http://127.0.0.1:{port}") == first
        _kill(docker.OWN)
        assert docker.start(f"http://127.0.0.1:{port}") == first
        _kill(registry.MIRROR)
        assert registry.start() == port
    finally:
        stopped = [docker.stop(), registry.stop()]
    assert stopped == [True, True]
    assert docker.running() is None
    assert registry.running() is None
    assert not docker.stop()


def _kill(name: str) -> None:
    pid = state.alive(name)
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert state.wait(lambda: state.alive(name) is None, 10)

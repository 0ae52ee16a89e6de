"""The door to Docker: a real engine behind it, and every way in which there is none."""

import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import chores, engine
from cdaf.engine import about, client, compose, containers, images, owner
from cdaf.errors import EngineError, SmokeError
from cdaf.images import oci, plan
from cdaf.images.content import of_bytes
from cdaf.images.image import assemble
from tests import images as made_of
from tests import stands
from tests.wires import Wire

docker = pytest.mark.docker


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def python(engine: object) -> str:
    """The base's id in the engine."""
    return images.ensure(stands.PYTHON, stands.index_digest(stands.PYTHON))


@pytest.fixture
def small(engine: object) -> oci.Image:
    """An image of one layer on the base that no engine has yet."""
    stamp = str(time.time_ns()).encode()
    return assembled({"app/stamp": stamp})


def assembled(files: dict[str, bytes]) -> oci.Image:
    entries = tuple(plan.Place(name, f"/{name}") for name in files)
    config = plan.Config(("python", "-c", "pass"), {}, "10001", "/app", None, {})
    wanted = plan.ImagePlan(
        "linux/amd64", stands.pinned(stands.PYTHON), (plan.Layer("one", entries),), config, stands.TIME
    )
    return assemble(wanted, {name: of_bytes(data) for name, data in files.items()})


# Facts, and an engine that is not there


@docker
def test_facts_are_the_engine_s_own() -> None:
    found = engine.facts()
    said = subprocess.run(
        [found.client, "version", "-f", "{{.Server.Version}}"], check=True, capture_output=True, text=True
    )
    assert found.version == said.stdout.strip()
    assert about.numbers(found.compose) >= about.COMPOSE
    assert about.numbers(found.buildx) >= about.BUILDX
    assert found.runs(found.native) == "native"
    assert found.runs("linux/s390x") in ("emulated", "")
    assert found.runs("windows/amd64") == ""


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("26.1.5+dfsg1", (26, 1)),
        ("v0.13.1+ds1", (0, 13)),
        ("2.26.1-4", (2, 26)),
        ("dev", (0, 0)),
        ("28.0-rc.1", (28, 0)),
    ],
)
def test_versions_of_programs(version: str, numbers: tuple[int, int]) -> None:
    assert about.numbers(version) == numbers


def test_too_old_an_engine_is_refused() -> None:
    with pytest.raises(EngineError, match=r"docker compose is version 1\.29\.2, and cdaf needs 2\.20") as caught:
        about._demand("docker compose", "1.29.2", about.COMPOSE)
    assert caught.value.exit_code == 9
    assert caught.value.hint


@pytest.mark.parametrize(
    "address", ["unix:///none/docker.sock", "tcp://127.0.0.1:1", "tcp://[::1", "tcp://h:99999", "junk"]
)
@docker
def test_no_engine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError, match=r"does not answer|is none") as caught:
        engine.facts()
    assert "DOCKER_HOST" in caught.value.hint


def test_no_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CDAF_DOCKER", raising=False)
    with pytest.raises(EngineError, match="docker is not installed"):
        engine.binary()


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_client_without_compose_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path / "old" / "docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    new = program(tmp_path / "new" / "docker", "echo 2.30.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'old'}{os.pathsep}{tmp_path / 'new'}")
    monkeypatch.delenv("CDAF_DOCKER", raising=False)
    assert engine.binary() == str(new)
    monkeypatch.setenv("CDAF_DOCKER", str(tmp_path / "old" / "docker"))
    with pytest.raises(EngineError, match="is no docker client with the compose plugin"):
        engine.binary()


def test_the_context_s_endpoint_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "there"}')
    told = '[{"Endpoints": {"docker": {"Host": "ssh://builder@far.example"}}}]'
    chosen = program(tmp_path / "bin" / "docker", f"echo '{told}'")
    monkeypatch.setenv("CDAF_DOCKER", str(chosen))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    assert engine.endpoint() == "ssh://builder@far.example"
    assert about.host() == "far.example"
    assert not client.is_local(engine.endpoint())


# Images


@docker
def test_load_gives_the_very_image_and_only_what_is_missing(small: oci.Image) -> None:
    assert images.held(small) == ""
    known = images.known_layers(small)
    loaded = engine.load(small)
    assert loaded in (small.config_digest, small.digest)
    told = engine.inspect(loaded) or {}
    assert told["RootFS"]["Layers"] == [layer.diff_id for layer in small.layers]
    assert small.layers[-1].diff_id not in known
    assert images.known_layers(small) == {layer.diff_id for layer in small.layers}
    assert engine.load(small) == loaded


@docker
def test_a_layer_wrongly_left_out_is_an_error_though_the_engine_answers_200(small: oci.Image) -> None:
    mine = small.layers[-1].diff_id
    known = images.known_layers(small) | {mine}
    with pytest.raises(EngineError, match="the engine did not load the image"):
        images.load_tar(oci.archive(images._partly(small, known), (), known), small)
    assert images.held(small) == ""


@docker
def test_only_what_the_engine_lacks_goes_over_the_wire(small: oci.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.load(small)
    changed = assembled({"app/stamp": str(time.time_ns()).encode()})
    with Wire(engine.endpoint()) as wire:
        monkeypatch.setenv("DOCKER_HOST", wire.address)
        engine.load(changed)
        sent = [layer.digest for layer in changed.layers if f"{oci.blob_name(layer.digest)}\0".encode() in wire.seen]
        assert sent == [changed.layers[-1].digest]


@docker
def test_what_was_loaded_from_here_is_asked_for_alone(small: oci.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images an engine has: it is asked for all of them only where much is to be sent otherwise."""
    engine.load(small)
    changed = assembled({"app/stamp": str(time.time_ns()).encode()})
    below = {layer.diff_id for layer in changed.layers[:-1]}
    with monkeypatch.context() as patch:
        patch.setattr(client.api(), "images", lambda: pytest.fail("all images were asked for"))
        assert images.known_layers(changed) == below
    client.api().remove_image(images.held(small), force=True)
    assert images.known_layers(changed) in (below, frozenset())


@docker
@pytest.mark.parametrize("believed", [(0,), (1,), (0, 1)], ids=["bottom", "top", "both"])
def test_a_layer_believed_to_be_there_is_found_missing_from_the_answer_and_sent(
    engine: object, monkeypatch: pytest.MonkeyPatch, believed: tuple[int, ...]
) -> None:
    stamp = str(time.time_ns()).encode()
    one, two = (made_of.layer({f"app/{name}": stamp})[0] for name in ("one", "two"))
    for layers in ((one, two), (two, one)):
        image = made_of.image(layers)
        wrongly = frozenset(layers[number].diff_id for number in believed)
        monkeypatch.setattr(images, "known_layers", lambda _, wrongly=wrongly: wrongly)
        loaded = images.load(image)
        told = images.inspect(loaded) or {}
        assert told["RootFS"]["Layers"] == [layer.diff_id for layer in layers]


@docker
def test_another_image_than_expected_is_refused(small: oci.Image) -> None:
    other = assembled({"app/other": str(time.time_ns()).encode()})
    engine.load(small)
    with pytest.raises(EngineError, match="the engine loaded another image"):
        images.load_tar(oci.archive(small, (), frozenset(layer.diff_id for layer in small.layers)), other)


@docker
def test_tags(small: oci.Image) -> None:
    name = f"cdaf-test/tags:{small.digest[-12:]}"
    try:
        loaded = engine.load(small, (name,))
        assert (engine.inspect(name) or {})["Id"] == loaded
    finally:
        client.api().remove_image(name, force=True)


@docker
def test_sidecar_that_no_registry_has(engine: object) -> None:
    with pytest.raises(SmokeError, match=r"pulling cdaf-test/nothing:1 failed: "):
        images.ensure("cdaf-test/nothing:1", "sha256:" + "0" * 64)


# Single runs


@docker
def test_a_run_takes_files_in_and_brings_files_out(python: str) -> None:
    script = "import os, sys; os.mkdir('/tmp/out'); open('/tmp/out/x', 'w').write(open('in').read().upper())"
    ran = engine.run(
        python,
        ["python", "-c", f"{script}; print(os.environ['A'], os.getuid()); print('oh', file=sys.stderr)"],
        put=packed({"in": b"hello"}),
        at="/tmp",
        take="/tmp/out",
        env={"A": "5$HOME"},
        workdir="/tmp",
        user="10001",
    )
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"5$HOME 10001\n", b"oh\n")
    with tarfile.open(fileobj=io.BytesIO(ran.taken)) as tar:
        found = tar.extractfile("out/x")
        assert found
        assert found.read() == b"HELLO"
    chores.finish()
    assert not [each for each in owner.found() if each.labels.get(owner.OWNER) == owner.owner()]


@docker
def test_a_run_has_no_network_and_tells_how_it_failed(python: str) -> None:
    ran = engine.run(
        python, ["python", "-c", "import os; print(sorted(os.listdir('/sys/class/net'))); raise SystemExit(7)"]
    )
    assert (ran.code, ran.stdout) == (7, b"['lo']\n")
    with pytest.raises(EngineError, match="running nothing-like-this in a container"):
        engine.run(python, ["nothing-like-this"])


@docker
def test_a_large_result_goes_to_a_file(python: str, tmp_path: Path) -> None:
    with (tmp_path / "out.tar").open("w+b") as file:
        ran = engine.run(
            python, ["python", "-c", "open('/tmp/x', 'wb').write(b'x' * (1 << 22))"], take="/tmp/x", into=file
        )
        assert ran.taken == b""
        assert file.tell() > 1 << 22


_PROGRAM = """
import sys
from cdaf import cli, engine
from cdaf.__main__ import main
from cdaf.net import transfers
def work(_):
    with transfers.workers(1) as pool:
        pool.submit(engine.run, sys.argv[1], ["sleep", "3600"]).result()
cli._invoke = work
main()
"""


@docker
@pytest.mark.parametrize(
    "signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]]
)
def test_an_interruption_ends_what_another_thread_runs(python: str, signals: list[signal.Signals]) -> None:
    with subprocess.Popen([sys.executable, "-c", _PROGRAM, python], stderr=subprocess.PIPE, text=True) as process:
        theirs = f"{owner._place()}/{process.pid}/"

        def left() -> list[owner.Left]:
            return [each for each in owner.found() if each.labels.get(owner.OWNER, "").startswith(theirs)]

        while not any(each.status == "running" for one in left() for each in engine.states(one.labels[owner.RUN])):
            assert process.poll() is None
            time.sleep(0.05)
        for each in signals:
            process.send_signal(each)
            time.sleep(0.1)
        assert (process.wait(60), process.stderr and process.stderr.read()) == (130, "interrupted\n")
    assert left() == []


# What is left, and whose it is


def test_an_owner_is_dead_only_when_it_provably_is() -> None:
    assert not owner.is_dead(owner.owner())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        theirs = f"{owner._place()}/{process.pid}/{owner._started(process.pid)}"
        assert not owner.is_dead(theirs)
        process.kill()
    assert owner.is_dead(theirs)
    pid, started = theirs.rsplit("/", 2)[1:]
    assert owner.is_dead(f"{owner._place()}/{os.getpid()}/1"), "the number is taken by a later process"
    for other in (f"another-boot/pid:[1]/{pid}/{started}", "", "x", f"/{pid}/{started}"):
        assert not owner.is_dead(other), other


@pytest.fixture
def remains(python: str) -> Iterator[list[str]]:
    """Containers of a dead process: one plain, one kept; and one without any label."""
    dead = {owner.RUN: "deadbeef", owner.OWNER: f"{owner._place()}/{os.getpid()}/1"}
    made = [
        client.api().create_container(python, ["true"], labels=labels)["Id"]
        for labels in (dead, {**dead, owner.KEEP: "true"}, {})
    ]
    yield made
    assert owner.remove([owner.Left("container", each, each, {}) for each in made]) == []


@docker
def test_leftovers_are_what_dead_runs_left_and_nothing_else(remains: list[str]) -> None:
    plain, kept, stranger = remains
    left = {each.id for each in engine.leftovers()}
    assert plain in left
    assert not left & {kept, stranger}
    assert engine.remove([each for each in engine.leftovers() if each.id == plain]) == []
    assert {each.id for each in owner.found(f"{owner.RUN}=deadbeef")} == {kept}


# Logs and streams


def test_what_a_killed_run_left_beside_its_containers_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = "import os; from cdaf.engine import project; x = project('x', {}); x.__enter__(); print(flush=True); "
    how: dict[str, Any] = {"env": {**os.environ, "TMPDIR": str(tmp_path)}, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program + "input()"], stdin=subprocess.PIPE, **how) as living:
        assert living.stdout
        living.stdout.readline()
        (held,) = tmp_path.iterdir()
        subprocess.run([sys.executable, "-c", program + "os._exit(0)"], check=True, **how)
        assert len(list(tmp_path.iterdir())) == 2
        (tmp_path / "cdaf-compose-link").symlink_to(tmp_path)
        with engine.project("x", {}) as mine:
            assert {path.name for path in tmp_path.iterdir()} == {held.name, mine.folder.name, "cdaf-compose-link"}
    (tmp_path / "kept").touch()
    with engine.project("x", {"a": b"1"}) as mine:
        found = {path.name for path in tmp_path.iterdir()}
        assert mine.files[0].read_bytes() == b"1"
        assert found == {mine.folder.name, "cdaf-compose-link", "kept"}
        with engine.project("x", {}) as other:
            assert mine.folder.exists()
            assert other.folder != mine.folder
    assert {path.name for path in tmp_path.iterdir()} == {"cdaf-compose-link", "kept"}


def test_lines_that_the_engine_split_are_whole_again() -> None:
    pieces = [
        b"2026-01-02T03:04:05.250000000Z first ",
        b"2026-01-02T03:04:06.000000000Z half\n",
        b"2026-01-02T03:04:07.5Z second\n",
        b"2026-01-02T03:04:08Z no end",
    ]
    found = list(containers._lines(pieces))
    assert [line.text for line in found] == ["first half", "second", "no end"]
    assert [line.at % 60 for line in found] == [5.25, 7.5, 8.0]


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    endless = (b"2026-01-02T03:04:06Z " + b"x" * 16384 for _ in range(64))
    pieces = itertools.chain(endless, [b"2026-01-02T03:04:07Z y\n", b"2026-01-02T03:04:08Z next\n"])
    first, second = containers._lines(pieces)
    assert (len(first.text), set(first.text)) == (containers._LONGEST_LINE, {"x"})
    assert (second.text, second.at % 60) == ("next", 8.0)


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T02:00:00.123456789+02:00", 0.123456789),
        ("1970-01-01T00:00:07Z", 7),
    ],
)
def test_times_of_the_engine(stamp: str, seconds: float) -> None:
    assert engine.seconds(stamp) == pytest.approx(seconds)


@docker
def test_a_wire_that_breaks_is_the_engine_gone(monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    with Wire(engine.endpoint()) as wire:
        monkeypatch.setenv("DOCKER_HOST", wire.address)
        assert engine.inspect(python)
        wire.cut()
        with pytest.raises(engine.EngineGone):
            engine.inspect(python)
        with pytest.raises(engine.EngineGone):
            engine.states("none")


def test_platforms_and_their_variants() -> None:
    known = engine.EngineFacts(
        version="26", api="1.45", compose="2", buildx="0", client="docker", endpoint="unix:///x", host="127.0.0.1",
        native="linux/arm64", emulated=("linux/amd64",), mirrors=(), store="overlay2", logging="local", ahead=0.0,
    )  # fmt: skip
    assert known.runs("linux/arm64/v8") == "native"
    assert known.runs("linux/amd64") == "emulated"
    assert msgspec.structs.replace(known, emulated=()).runs("linux/amd64") == ""


def test_folders_that_begin_at_once_are_no_leftovers_to_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def enter(_: int) -> None:
        with compose._folder() as folder:
            (folder / "compose.yaml").write_text("{}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(enter, range(400))) == [None] * 400
    assert list(tmp_path.iterdir()) == []

"""The smoke test on a real engine: what passes, and every way in which a service, a sidecar or a check can fail."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from cdaf import engine, progress
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Foretold
from cdaf.engine import client, owner
from cdaf.errors import BundleError, EngineError, SmokeError, UsageError
from cdaf.images import plan
from cdaf.testing import smoke, stand
from cdaf.testing.outcome import PlatformResult, Said, SmokeReport
from tests import stands
from tests.wires import Wire

pytestmark = pytest.mark.docker

CHECK = "import os, urllib.request; print(urllib.request.urlopen(os.environ['CDAF_SMOKE_URL'] + '/count').read())"

HEEDING = stands.SERVER.replace(
    "import http.server", "import signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); import http.server"
)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What progress is told."""
    said: list[str] = []

    class Hearing(progress.Silent):
        def note(self, text: str) -> None:
            said.append(text)

        def warn(self, text: str) -> None:
            said.append(f"warning: {text}")

    monkeypatch.setattr(progress, "_sink", Hearing())
    return said


def tried(bundle: Bundle, **how: Any) -> SmokeReport:
    return smoke.test(bundle, stands.images(bundle), **how)


def failing(folder: Path, **how: Any) -> SmokeError:
    """The error of a test that fails; its report says the same, and nothing is left of it."""
    bundle = stands.made(folder, **how)
    with pytest.raises(SmokeError) as caught:
        tried(bundle)
    told = json.loads((folder / "tiny-1.2.3.smoke" / "report.json").read_text())
    (platform,) = told["platforms"]
    assert platform["state"] == "failed"
    assert platform["failure"] == caught.value.message
    assert not mine()
    return caught.value


def mine() -> list[engine.Left]:
    """What this process has in the engine."""
    return [each for each in owner.found() if each.labels.get(owner.OWNER) == owner.owner()]


def kinds(result: PlatformResult, role: str) -> list[list[str]]:
    return [[each.kind for each in lane.moments] for lane in result.lanes if lane.role == role]


def test_passes_beside_a_sidecar_through_a_restart(tmp_path: Path) -> None:
    report = tried(
        stands.made(
            tmp_path,
            sidecars=("redis:7",),
            before=(("python", "-c", "import os; print('to', os.environ['REDIS_URL'])"),),
            checks=CHECK,
            restart=True,
            server=HEEDING,
        ),
        reports=tmp_path / "there",
    )
    (result,) = report.platforms
    assert result.state == "passed"
    assert [lane.role for lane in result.lanes] == ["sidecar", "before", "service", "checks", "checks"]
    assert kinds(result, "sidecar") == [["created", "started", "healthy"]]
    (life,) = kinds(result, "service")
    assert [each for each in life if each not in ("probe", "created")] == [
        *("started", "answer", "exited", "started", "restarted", "answer")
    ]
    said = {lane.title: [line.text for line in result.logs[lane.name]] for lane in result.lanes}
    assert said["python -c 'import os; print('\"'\"'to'\"'\"', os.environ['\"'\"'REDIS_URL'\"'\"'])'"] == [
        "to redis://redis:6379/0"
    ]
    assert said["checks, round 1"] == ["b'1'"]
    assert said["checks, round 2"] == ["b'2'"], "the container was made anew, not restarted"
    assert not mine()
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        *("junit.xml", "logs", "report.html", "report.json")
    ]
    suite = ET.parse(tmp_path / "there" / "junit.xml").getroot()
    assert suite.get("failures") == "0"
    assert len(list((tmp_path / "there" / "logs" / "linux-amd64").iterdir())) == 5


def test_service_that_ignores_sigterm_is_said(tmp_path: Path, heard: list[str]) -> None:
    report = tried(stands.made(tmp_path, checks="pass", restart=True))
    assert "warning: the service ignores SIGTERM: it was killed after 10 s" in heard
    (service,) = [lane for lane in report.platforms[0].lanes if lane.role == "service"]
    (ended,) = [each for each in service.moments if each.kind == "exited"]
    assert (ended.text, ended.bad) == ("killed, as it ignored the signal to stop", False)


def test_a_bundle_that_asks_for_the_machine_gets_nothing(tmp_path: Path) -> None:
    compose = {"00-x.yaml": "services: {service: {privileged: true, volumes: ['/:/host']}}"}
    bundle = stands.made(tmp_path, compose=compose)
    with pytest.raises(BundleError, match=r"(?s)service.volumes.*service.privileged.*'/' is a host path"):
        tried(bundle)
    assert not mine()


def test_environment_reaches_the_service_as_it_stands(tmp_path: Path) -> None:
    check = "import os, urllib.request; print(urllib.request.urlopen(os.environ['CDAF_SMOKE_URL'] + '/env').read())"
    report = tried(stands.made(tmp_path, checks=check, env={"PRICE": "5$HOME ${HOME} $$"}))
    said = " ".join(line.text for lines in report.platforms[0].logs.values() for line in lines)
    assert "5$HOME ${HOME} $$" in said


def test_a_service_without_port_or_checks_has_to_stay_up(tmp_path: Path) -> None:
    report = tried(stands.made(tmp_path, port=None, server="import time; print('working'); time.sleep(999)"))
    assert report.platforms[0].state == "passed"


def test_a_port_without_health_page_has_to_be_listened_on(tmp_path: Path) -> None:
    assert tried(stands.made(tmp_path, health=None)).platforms[0].state == "passed"


def test_exits_at_once(tmp_path: Path) -> None:
    error = failing(tmp_path, server="import sys; print('no DATABASE_URL'); sys.exit(1)")
    assert error.message == "service exited with code 1 before it was healthy"
    assert error.output == "no DATABASE_URL"


def test_exits_with_success_at_once(tmp_path: Path) -> None:
    error = failing(tmp_path, server="print('started in the background')")
    assert error.message == "service exited with code 0 before it was healthy"
    assert "foreground" in error.hint


def test_start_command_that_the_image_lacks(tmp_path: Path) -> None:
    error = failing(tmp_path, start=("gunicorn", "app:app"))
    assert "starting service" in error.message
    assert "gunicorn" in error.message


def test_runs_out_of_memory(tmp_path: Path) -> None:
    limits = {"00-limits.yaml": "services: {service: {mem_limit: 24m, memswap_limit: 24m}}"}
    error = failing(tmp_path, server="x = b'x' * (1 << 30)", compose=limits)
    assert error.message == "service ran out of memory before it was healthy"


def test_never_becomes_healthy(tmp_path: Path) -> None:
    error = failing(tmp_path, health="/broken", timeout=3)
    assert error.message == "service was not healthy within 3 s: GET /broken answered 503"
    assert error.hint == "read its log, or raise smoke.timeout"


def test_a_page_that_the_service_does_not_have(tmp_path: Path) -> None:
    answering = stands.SERVER.replace("503", "404")
    error = failing(tmp_path, server=answering, health="/helthz", timeout=3)
    assert error.message == "service was not healthy within 3 s: GET /helthz answered 404"
    assert error.hint == "mend smoke.health: a page of the service that answers 2xx"
    (tmp_path / "two").mkdir()
    twice = answering.replace(
        "import http.server", "import socket; more = socket.create_server(('', 9000)); import http.server"
    )
    error = failing(tmp_path / "two", server=twice, health="/helthz", timeout=3)
    assert error.message.endswith("GET /helthz answered 404 on port 8000, and it listens on 9000 too")
    assert error.hint.startswith("mend smoke.health or service.port: ")


def test_listens_on_the_wrong_port(tmp_path: Path) -> None:
    error = failing(tmp_path, start=("python", "/app/server.py", "9000"), timeout=4)
    assert error.message == "no answer on port 8000 within 4 s: the service listens on 9000"


def test_what_starts_a_sealed_image_is_said_by_its_dockerfile(tmp_path: Path) -> None:
    made = stands.made(tmp_path, start=("python", "/app/server.py", "9000"), timeout=4)
    (image,) = stands.images(made)
    sealed = (Foretold(platform=image.platform, digest=image.digest, sealed=True),)
    with pytest.raises(SmokeError) as caught:
        tried(msgspec.structs.replace(made, manifest=msgspec.structs.replace(made.manifest, images=sealed)))
    assert caught.value.hint == "mend service.port or the Dockerfile's ENTRYPOINT and CMD"


def test_checks_whose_program_their_image_lacks(tmp_path: Path) -> None:
    made = stands.made(tmp_path, checks="pass")
    declared = msgspec.structs.replace(made.manifest.smoke.declared, checks=("pytest", "-q"))
    smoke = msgspec.structs.replace(made.manifest.smoke, declared=declared)
    with pytest.raises(SmokeError) as caught:
        tried(msgspec.structs.replace(made, manifest=msgspec.structs.replace(made.manifest, smoke=smoke)))
    assert caught.value.message == 'starting checks failed: exec: "pytest": executable file not found in $PATH'
    assert caught.value.hint == "let smoke.group bring the program, or mend smoke.checks"


def test_listens_on_the_wrong_port_beside_a_health_check_that_ends_in_a_traceback(tmp_path: Path) -> None:
    page = "http://127.0.0.1:8000/healthz"
    health = plan.Health(("python", "-c", f"import urllib.request as u; u.urlopen('{page}')"))
    error = failing(tmp_path, start=("python", "/app/server.py", "9000"), image_health=health, timeout=4)
    assert error.message == "no answer on port 8000 within 4 s: the service listens on 9000"


def test_listens_on_its_own_loopback_alone(tmp_path: Path) -> None:
    error = failing(tmp_path, start=("python", "/app/server.py", "8000", "127.0.0.1"), timeout=4)
    assert error.message.endswith("the service listens on 127.0.0.1, inside its container alone")
    assert error.hint == "bind it to 0.0.0.0"


def test_command_that_comes_first_fails(tmp_path: Path) -> None:
    error = failing(tmp_path, before=(("python", "-c", "print('no such table'); raise SystemExit(2)"),))
    assert error.message.endswith("exited with code 2")
    assert error.output == "no such table"


def sidecar(command: str, more: str = "") -> dict[str, Any]:
    text = f"services:\n  helper:\n    image: python:3.13-slim\n    command: ['python', '-c', {command!r}]\n{more}"
    return {"compose": {"00-extra.yaml": text}, "images": (stands.PYTHON,)}


def test_sidecar_fails(tmp_path: Path) -> None:
    error = failing(tmp_path, **sidecar('print("disk full"); raise SystemExit(5)'))
    assert error.message == "sidecar python:3.13-slim exited with code 5"
    assert error.output == "disk full"


def test_sidecar_is_unhealthy(tmp_path: Path) -> None:
    check = "    healthcheck: {test: [CMD, cat, /nothing], interval: 200ms, retries: 2}\n"
    error = failing(tmp_path, **sidecar("import time; time.sleep(99)", check))
    assert error.message.startswith("sidecar python:3.13-slim is unhealthy: ")
    assert "/nothing" in error.message


def test_sidecars_that_wait_for_one_another_and_for_the_service(tmp_path: Path) -> None:
    compose = """
        services:
          once:
            image: python:3.13-slim
            command: ["python", "-c", "print('a bucket is made')"]
            volumes: ["data:/data"]
          front:
            image: python:3.13-slim
            command: ["python", "-c", "import urllib.request as u, time; \\
              print(u.urlopen('http://service:8000/healthz').read()); time.sleep(99)"]
            depends_on: {service: {condition: service_healthy}, once: {condition: service_completed_successfully}}
        volumes: {data: {}}
        networks: {other: {}}
    """
    report = tried(stands.made(tmp_path, compose={"00-extra.yaml": compose}, images=(stands.PYTHON,), checks=CHECK))
    lanes = [lane.name.split("-")[-2] for lane in report.platforms[0].lanes]
    assert lanes == ["once", "service", "front", "checks"]
    assert not mine()


def test_check_that_hangs(tmp_path: Path) -> None:
    error = failing(
        tmp_path, checks="import time; print('waiting for the moon', flush=True); time.sleep(999)", check_timeout=3
    )
    assert error.message == "the checks took longer than 3 s"
    assert "waiting for the moon" in error.output
    assert "KeyboardInterrupt" in error.output, "its runner was not interrupted, so it could not say where it hung"


REPORTING = """
    import os, sys
    open(os.environ["CDAF_SMOKE_JUNIT"], "w").write('''<testsuites><testsuite>
      <testcase classname="smoke.test_orders" name="test_order" time="0.2"/>
      <testcase classname="smoke.test_orders" name="test_pay" time="0.1"><failure message="assert 1 == 2">E  1</failure>
      </testcase></testsuite></testsuites>''')
    sys.exit(1)
"""


def test_checks_that_fail(tmp_path: Path) -> None:
    error = failing(tmp_path, checks=REPORTING)
    assert error.message == "1 of 2 checks failed: test_pay"
    assert "the service's log ends:\nserving on 8000" in error.output
    page = (tmp_path / "tiny-1.2.3.smoke" / "report.html").read_text()
    assert "assert 1 == 2" in page
    suites = ET.parse(tmp_path / "tiny-1.2.3.smoke" / "junit.xml").getroot()
    assert suites.get("failures") == "2", "the check, and cdaf's step that ran it"


def test_checks_that_fail_and_exit_with_0(tmp_path: Path) -> None:
    error = failing(tmp_path, checks=REPORTING.replace("sys.exit(1)", "sys.exit(0)"))
    assert error.message == "1 of 2 checks failed: test_pay"


def test_of_an_endless_log_the_end_is_kept() -> None:
    lines = [Said(float(number), "x" * 4096) for number in range(4096)]
    kept = stand._last(iter(lines))
    assert kept == lines[-len(kept) :]
    assert sum(len(line.text) for line in kept) == stand._LARGEST_LOG
    assert stand._last([Said(0.0, "y" * (stand._LARGEST_LOG + 1))])


def test_logs_are_saved_as_text(tmp_path: Path) -> None:
    tried(stands.made(tmp_path, checks="print('\\x1b[31mred\\x1b[0m\\r')"))
    log = next((tmp_path / "tiny-1.2.3.smoke" / "logs").rglob("*checks-1.log")).read_text()
    assert [line.partition("Z ")[2] for line in log.splitlines()] == ["red"]


def test_service_dies_while_the_checks_run(tmp_path: Path) -> None:
    check = """
        import os, time, urllib.request
        try:
            urllib.request.urlopen(os.environ["CDAF_SMOKE_URL"] + "/die")
        except OSError:
            time.sleep(999)
    """
    error = failing(tmp_path, checks=check)
    assert error.message == "service exited with code 3 while the checks ran"
    assert "asked to die" in error.output


def test_platform_that_does_not_run_here_is_not_run(tmp_path: Path) -> None:
    report = tried(stands.made(tmp_path, platforms=("linux/amd64", "linux/arm64")))
    states = {"native": "passed", "emulated": "emulated", "": "not run"}
    facts = engine.facts()
    assert [each.state for each in report.platforms] == [states[facts.runs(each.platform)] for each in report.platforms]


def test_emulated_platform_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = engine.facts()
    foreign = msgspec.structs.replace(facts, native="linux/riscv64", emulated=(facts.native,))
    monkeypatch.setattr(engine, "facts", lambda: foreign)
    report = tried(stands.made(tmp_path, platforms=(facts.native,), checks=CHECK))
    assert [each.state for each in report.platforms] == ["emulated"]


def test_health_check_of_the_image_has_to_pass_too(tmp_path: Path) -> None:
    health = plan.Health(("python", "-c", "raise OSError('the disk is full')"))
    error = failing(tmp_path, image_health=health, timeout=4)
    assert error.message in (
        "service is unhealthy: OSError: the disk is full",
        "service was not healthy within 4 s: OSError: the disk is full",
    )
    (tmp_path / "well").mkdir()
    well = plan.Health(("python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"))
    assert tried(stands.made(tmp_path / "well", image_health=well)).platforms[0].state == "passed"


def test_secrets_are_in_nothing_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "c4n4ry/<&>\"' äö 100%"
    monkeypatch.setenv("PAYMENT_KEY", canary)
    server = stands.SERVER.replace(
        "import http.server", "import base64, json, http.server, os; k = os.environ['PAYMENT_KEY']; import"
    ).replace("; import, os", "; import os")
    server = server.replace(
        'print("serving on"', "print(k, repr(k), json.dumps(k), base64.b64encode(k.encode())); print('serving on'"
    ).replace('print("serving on"', "print('serving on'")
    check = "import os; print(os.environ['PAYMENT_KEY']); raise SystemExit(1)"
    bundle = stands.made(tmp_path, server=server, checks=check, secrets=("PAYMENT_KEY",))
    with pytest.raises(SmokeError) as caught:
        tried(bundle)
    assert "***" in caught.value.output
    files = [path for path in (tmp_path / "tiny-1.2.3.smoke").rglob("*") if path.is_file()]
    assert len(files) == 5
    everything = caught.value.output + "".join(path.read_text() for path in files)
    assert "c4n4ry" not in everything
    assert "YzRuNHJ5" not in everything
    assert "serving on" in everything


def test_secret_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYMENT_KEY", raising=False)
    with pytest.raises(UsageError, match="PAYMENT_KEY is not set"):
        tried(stands.made(tmp_path, secrets=("PAYMENT_KEY",)))


def test_keep_leaves_the_stack_and_says_how_to_remove_it(tmp_path: Path, heard: list[str]) -> None:
    tried(stands.made(tmp_path), keep=True)
    try:
        assert {each.kind for each in mine()} == {"container", "network"}
        logs = [
            client.api().inspect_container(each.id)["HostConfig"]["LogConfig"]
            for each in mine()
            if each.kind == "container"
        ]
        assert logs
        assert all(each["Type"] != "json-file" or each["Config"]["max-size"] == "16m" for each in logs)
        (url,) = [text.rpartition(" ")[2] for text in heard if text.startswith("the service answers at ")]
        with urllib.request.urlopen(f"{url}/healthz") as page:
            assert page.status == 200
        (note,) = [text for text in heard if "remove it with: " in text]
        command = note.partition("remove it with: ")[2]
        subprocess.run(command, shell=True, check=True, capture_output=True)
        assert not mine()
    finally:
        owner.remove(mine())


def test_failed_teardown_is_said(heard: list[str]) -> None:
    run = engine.new_run()
    python = engine.inspect(stands.PYTHON) or {}
    network = client.api().create_network(f"cdaf-test-{run}", labels=engine.labels(run))["Id"]
    on = client.api().create_host_config(network_mode=network)
    stranger = client.api().create_container(python["Id"], ["sleep", "99"], host_config=on)["Id"]
    try:
        client.api().start(stranger)
        stand._take_down(run)
        (warning,) = heard
        assert warning.startswith("warning: teardown failed: removing network")
        assert "active endpoints" in warning
    finally:
        client.api().remove_container(stranger, force=True)
        assert engine.sweep(run) == []


def test_engine_dies_during_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = stands.made(tmp_path, checks="import time; print('checking', flush=True); time.sleep(999)")
    images = stands.images(bundle)
    with Wire(engine.endpoint()) as wire:
        behind = engine.endpoint()
        monkeypatch.setenv("DOCKER_HOST", wire.address)
        cutting = threading.Thread(target=_cut_when_checking, args=(wire,))
        cutting.start()
        with pytest.raises(EngineError, match="the engine went away during the smoke test") as caught:
            smoke.test(bundle, images)
        cutting.join()
    assert caught.value.exit_code == 9
    monkeypatch.setenv("DOCKER_HOST", behind)
    assert json.loads((tmp_path / "tiny-1.2.3.smoke" / "report.json").read_text())["platforms"][0]["state"] == "failed"
    assert mine(), "nothing could be removed, as the engine was away"
    assert owner.remove(mine()) == []


def _cut_when_checking(wire: Wire) -> None:
    while b"-checks-1" not in wire.seen or b"/start" not in wire.seen.partition(b"-checks-1")[2]:
        time.sleep(0.05)
    wire.cut()


SCRIPT = """
import signal, sys
from pathlib import Path
from cdaf import cli
sys.exit(cli.run([sys.argv[1], sys.argv[2]]))
"""


@contextmanager
def running(verb: str, bundle: Bundle) -> Iterator[subprocess.Popen[str]]:
    """`cdaf VERB BUNDLE` as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, verb, str(bundle.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def of(pid: int) -> list[engine.Left]:
    return [each for each in owner.found() if f"/{pid}/" in each.labels.get(owner.OWNER, "")]


def until(process: "subprocess.Popen[str]", what: Callable[[], Any]) -> Any:
    """Wait for what must come as long as the process lives."""
    while not (found := what()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(tmp_path: Path, number: int) -> None:
    bundle = stands.made(tmp_path, sidecars=("redis:7",), checks="import time; time.sleep(999)")
    with running("smoke", bundle) as process:
        until(process, lambda: [each for each in of(process.pid) if "-checks-" in each.name])
        process.send_signal(number)
        _, said = process.communicate()
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert of(process.pid) == []


def test_killed_it_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    bundle = stands.made(tmp_path, checks="import time; time.sleep(999)")
    with running("smoke", bundle) as process:
        until(process, lambda: [each for each in of(process.pid) if "-service-" in each.name])
        process.kill()
        process.wait()
        left = of(process.pid)
        assert {each.kind for each in left} == {"container", "network"}
        assert {each.id for each in left} <= {each.id for each in engine.leftovers()}
    (tmp_path / "next").mkdir()
    tried(stands.made(tmp_path / "next"))
    assert of(process.pid) == []


def test_up_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    bundle = stands.made(tmp_path, sidecars=("redis:7",))
    with running("up", bundle) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/env") as answer:
            assert b"redis://redis:6379/0" in answer.read()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        assert process.returncode in (0, 130), said
        assert of(process.pid) == []


def test_up_ends_with_the_service(tmp_path: Path) -> None:
    bundle = stands.made(tmp_path)
    asked: list[str] = []

    def announce(url: str) -> None:
        asked.append(url)
        with pytest.raises(OSError):
            urllib.request.urlopen(f"{url}/die")

    with pytest.raises(SmokeError, match="service exited with code 3 by itself"):
        smoke.up(bundle, stands.images(bundle), announce)
    assert asked[0].startswith("http://127.0.0.1:")
    assert not mine()


def test_nothing_of_the_environment_but_the_secrets_reaches_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("GREETING=from the folder\n")
    monkeypatch.setenv("PAYMENT_KEY", "a-secret-of-the-test")
    compose = {"00-extra.yaml": "services: {service: {environment: {COPY: 'x${PAYMENT_KEY}'}}}"}
    check = """
        import os, urllib.request
        said = urllib.request.urlopen(os.environ["CDAF_SMOKE_URL"] + "/env").read()
        assert b"'COPY': 'xa-secret-of-the-test'" in said and b"from the folder" not in said
    """
    bundle = stands.made(tmp_path, compose=compose, checks=check, secrets=("PAYMENT_KEY",))
    assert tried(bundle).platforms[0].state == "passed"
    assert "a-secret" not in os.fspath(bundle.path)

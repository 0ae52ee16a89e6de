"""The command line as a user meets it: in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cdaf import cli
from cdaf.errors import BundleError, CdafError, EngineError, PublishError, ResolveError, exit_code
from cdaf.terminal import console, plain
from tests import bundlekit

CDAF = [sys.executable, "-m", "cdaf"]


def run(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CDAF, *words], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name, text in cli.COMMANDS.items():
        assert name in done.stdout
        assert text.split()[0] in done.stdout


def test_no_command_is_help_too() -> None:
    assert run().stdout == run("--help").stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_helps_and_takes_json(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: cdaf {name} ")
    assert "--json" in done.stdout


def test_short_help_begins_as_the_long_one_does() -> None:
    """The table in `cli` is written by hand so that --help imports nothing; it must not say something else."""
    for name in cli.COMMANDS:
        command = cli.cdaf.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help
        assert command.help.split()[0].strip(",") == cli.COMMANDS[name].split()[0].strip(","), name


def test_many_bundles_are_verified_though_one_is_wrong(tmp_path: Path) -> None:
    good = bundlekit.sealed(tmp_path)
    bad = tmp_path / "bad.cdaf"
    bad.write_bytes(good.path.read_bytes()[:-9])
    both = run("verify", str(good.path), str(good.path))
    assert both.stdout.splitlines() == [f"ok {good.identity}  {good.path}"] * 2
    assert (both.returncode, both.stderr) == (0, "")
    words = ["verify", str(tmp_path / "none.cdaf"), str(bad), str(good.path)]
    done = run(*words)
    assert done.returncode == 5, "the worst: damage weighs more than a name that nothing has"
    assert done.stdout == f"ok {good.identity}  {good.path}\n"
    assert done.stderr.count("error: ") == 2
    told = json.loads(run(*words, "--json").stdout)
    assert [each["ok"] for each in told["bundles"]] == [False, False, True]
    assert (told["ok"], told["error"]) == (False, told["bundles"][1]["error"])
    assert str(bad) in told["error"]["message"]
    assert told["bundles"][2] == {"ok": True, "path": str(good.path), "identity": good.identity}
    alone = json.loads(run("verify", str(good.path), "--json").stdout)
    assert alone == {"ok": True, "path": str(good.path), "identity": good.identity}


def test_version() -> None:
    assert run("--version").stdout.startswith("cdaf ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["pakage"], "did you mean `cdaf package`?"),
        (["package", "--relase"], "--release"),
        (["completion", "tcsh"], "run `cdaf completion --help`"),
        (["diff", "one.cdaf"], "run `cdaf diff --help`"),
        (["--nonsense"], "run `cdaf --help`"),
    ],
)
def test_usage_errors(words: list[str], hint: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert hint in done.stderr


def test_errors_as_json_too(tmp_path: Path) -> None:
    done = run("check", str(tmp_path), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 3
    assert told["ok"] is False
    assert told["error"]["exit_code"] == 3
    assert told["error"]["message"] in done.stderr
    assert told["error"]["hint"] == "run `cdaf init`"


def test_usage_errors_as_json_too() -> None:
    told = json.loads(run("shwo", "--json").stdout)
    assert told == {
        "ok": False,
        "error": {
            "message": "no such command: shwo",
            "hint": "did you mean `cdaf show`?",
            "exit_code": 2,
            "transient": False,
        },
    }


def test_exit_codes_by_class() -> None:
    assert [exit_code(kind("x")) for kind in (ResolveError, BundleError, PublishError, EngineError)] == [4, 5, 8, 9]
    assert exit_code(CdafError("x", transient=True)) == 75


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("verify", str(tmp_path / "none.cdaf"))
    assert done.returncode in (2, 5)
    assert "none.cdaf" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "text.cdaf").write_text("not a bundle")
    done = run("verify", str(tmp_path / "text.cdaf"))
    assert done.returncode == 5
    assert done.stdout == ""


@pytest.mark.parametrize("word", ["schema", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away(word: str, unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen([*CDAF, word], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        told = running.stderr.read()
    assert running.returncode == 128 + signal.SIGPIPE
    assert told == b""


def test_closed_streams() -> None:
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m cdaf schema >&-"], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_full_disk_behind_stderr_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.cdaf").write_text("not a bundle")
    with Path("/dev/full").open("w") as full:
        words = [*CDAF, "verify", "--json", str(tmp_path / "none.cdaf")]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]["exit_code"]) == (5, 5)


def test_progress_that_cannot_be_written_ends_nothing() -> None:
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    plain.Plain(full, str).note("lost")
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_an_interruption_is_told_as_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_invoke", interrupt)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert cli.run(["package", "--json"]) == 130
    finally:
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(each, handler)
        console.begin(as_json=False)
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "ok": False,
        "error": {"message": "interrupted", "hint": "", "exit_code": 130, "transient": False},
    }


def test_a_full_disk_behind_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*CDAF, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 75
    assert done.stderr.startswith("error: no space left on device")


WAITS = """
import sys, time
from contextlib import contextmanager
from pathlib import Path
import click
from cdaf import cli

@contextmanager
def stand(path):
    path.write_text("up")
    try:
        yield
    finally:
        path.unlink()

@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def wait(path):
    with stand(path):
        time.sleep(60)

cli.Verbs.get_command = lambda self, ctx, name: wait
sys.exit(cli.run(["verify", sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_unwind(tmp_path: Path, number: signal.Signals) -> None:
    stands = tmp_path / "stands"
    command = [sys.executable, "-c", WAITS, str(stands)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        while not stands.exists() or not stands.read_text():
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(number)
        _, told = running.communicate()
    assert running.returncode == 130
    assert told == "interrupted\n"
    assert not stands.exists()


CRASHES = """
import sys
import click
from cdaf import cli

@click.command()
def crash():
    raise ValueError("could not read https://joe:hunter2@registry.example/x with " + "s3cr3t-" + "token-123")

cli.Verbs.get_command = lambda self, ctx, name: crash
sys.exit(cli.run(["verify"]))
"""


def test_a_mistake_of_ours_is_one_line_and_a_file(tmp_path: Path) -> None:
    environment = {**os.environ, "CDAF_CACHE": str(tmp_path), "MY_TOKEN": "s3cr3t-token-123"}
    done = subprocess.run([sys.executable, "-c", CRASHES], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: internal: ValueError: could not read https://***@registry.example/x with ***"
    [saved] = (tmp_path / "tracebacks").iterdir()
    assert str(saved) in hint
    text = saved.read_text()
    assert text.startswith("Traceback")
    assert "hunter2" not in text
    assert "s3cr3t-token-123" not in text


def test_completion_in_a_real_bash() -> None:
    """Bash itself asks, the way a user's Tab does, for commands, for options and for nothing."""
    script = """
    cdaf() { "$PYTHON" -m cdaf "$@"; }
    PATH="$BIN:$PATH"
    eval "$("$PYTHON" -m cdaf completion bash)"
    ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _cdaf_completion cdaf; echo "${COMPREPLY[*]}"; }
    ask cdaf pa
    ask cdaf re
    ask cdaf package --lo
    ask cdaf completion z
    """
    environment = {**os.environ, "PYTHON": sys.executable, "BIN": str(Path(sys.executable).parent)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == ["package", "release", "--locked", "zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert f"_CDAF_COMPLETE={shell}_complete" in done.stdout
    assert json.loads(run("completion", shell, "--json").stdout)["script"].strip() == done.stdout.strip()


def test_what_an_interruption_breaks_is_an_interruption() -> None:
    lock = threading.Lock()

    def broken() -> None:
        with lock:
            lock.release()
            raise KeyboardInterrupt

    with pytest.raises(RuntimeError) as raised:
        broken()
    assert cli.interrupted(raised.value)
    assert not cli.interrupted(RuntimeError())


def test_an_interruption_waits_for_a_destructor() -> None:
    """What a destructor raises is printed and forgotten, and the work would go on."""

    class Dying:
        def __del__(self) -> None:
            cli._interrupt(signal.SIGTERM, sys._getframe())

    def work() -> None:
        Dying()
        time.sleep(5)

    before = signal.getsignal(signal.SIGALRM)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interruption_of_the_last_steps_spoils_nothing(tmp_path: Path) -> None:
    """After its answer is told the interpreter still ends its threads, and what comes then must not be a traceback."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, threading\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    threading._register_atexit(os.kill, os.getpid(), number)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-m", "cdaf", "schema"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


def test_an_interruption_waits_while_the_library_holds_a_lock() -> None:
    """As a signal finds it: in the midst of a function of the library that has taken a lock, or that waits."""
    spaces: dict[str, Any] = {}
    for name in ("acquire", "wait"):
        source = f"def {name}(call):\n    call()\n"
        exec(compile(source, threading.__file__, "exec"), spaces)

    def came() -> None:
        cli._interrupt(signal.SIGTERM, sys._getframe(1))

    before = signal.getsignal(signal.SIGALRM)
    try:
        spaces["acquire"](came)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
        with pytest.raises(KeyboardInterrupt):
            spaces["wait"](came)
        with pytest.raises(KeyboardInterrupt):
            came()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""What reaches the terminal, and how."""

import io
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdaf import progress
from cdaf.errors import CdafError, ResolveError
from cdaf.terminal import console, plain, units
from cdaf.terminal.live import Live
from cdaf.terminal.plain import Plain


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(work: Callable[[progress.Sink], None]) -> str:
    stream = io.StringIO()
    work(Plain(stream, console.plain))
    return stream.getvalue()


def test_a_step_is_a_line_with_its_time() -> None:
    def work(sink: progress.Sink) -> None:
        with sink.step("resolve"):
            pass

    assert re.fullmatch(r"resolve \d+\.\d\d s\n", shown(work))


def test_transfers_count_towards_their_step() -> None:
    def work(sink: progress.Sink) -> None:
        with sink.step("collect"):
            for size in (1000, 2_000_000):
                with sink.transfer("a.whl", size) as moved:
                    moved(size)

    assert re.fullmatch(r"collect \d+\.\d\d s \(2 transfers, 2\.0 MB\)\n", shown(work))


def test_steps_within_steps_are_indented() -> None:
    def work(sink: progress.Sink) -> None:
        def build() -> None:
            with sink.step("building a"):
                pass

        with sink.step("collect"):
            with sink.step("reading"):
                pass
            thread = threading.Thread(target=build)
            thread.start()
            thread.join()

    assert re.fullmatch(r"  reading \S+ s\n  building a \S+ s\ncollect \S+ s\n", shown(work))


def test_a_large_transfer_has_its_own_line() -> None:
    def work(sink: progress.Sink) -> None:
        with sink.step("collect"), sink.transfer("big.whl", plain.LARGE) as moved:
            moved(plain.LARGE)

    assert shown(work).startswith("big.whl 50.0 MB in 0.")


def test_transfers_from_many_threads_add_up() -> None:
    stream = io.StringIO()
    sink = Plain(stream, console.plain)

    def one() -> None:
        with sink.transfer("x", 10) as moved:
            for _ in range(10):
                moved(1)

    with sink.step("collect"):
        threads = [threading.Thread(target=one) for _ in range(20)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert "(20 transfers, 200 B)" in stream.getvalue()


def test_a_failed_step_says_so() -> None:
    stream = io.StringIO()
    with pytest.raises(ResolveError), Plain(stream, console.plain).step("resolve"):
        raise ResolveError("no")
    assert stream.getvalue().startswith("resolve failed after ")


def test_a_long_step_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "LONG", 0.01)
    stream = io.StringIO()
    with Plain(stream, console.plain).step("smoke"):
        while not stream.getvalue():
            pass
    assert stream.getvalue().startswith("smoke: still going on\n")


def test_what_a_step_is_at_is_a_line_but_once() -> None:
    def work(sink: progress.Sink) -> None:
        with sink.step("collect"), sink.step("building") as say:
            for text in ("[1/2] FROM a", "[2/2] RUN b", "[1/2] FROM a"):
                say(text)

    lines = shown(work).splitlines()
    assert lines[:2] == ["  building: [1/2] FROM a", "  building: [2/2] RUN b"]
    assert re.fullmatch(r"  building \S+ s\ncollect \S+ s", "\n".join(lines[2:]))


def test_live_display_shows_what_a_step_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut where the terminal is narrow; the time beside it is not."""
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    with Live(stream, console.plain).step("building") as say:
        say("[1/2] FROM a")
        say(f"[2/2] RUN [bold] {'long ' * 40}")
        while "[2/2]" not in stream.getvalue():
            pass
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"building: \[2/2\] RUN \[bold\] (long )+\S*… 0:00:0\d", text)
    assert re.search(r"✓ building \d+\.\d\d s", text)


def test_live_display_leaves_a_line_for_each_step() -> None:
    stream = Terminal()
    sink = Live(stream, console.plain)
    with sink.step("collect"), sink.transfer("a[bold].whl", 100) as moved:
        moved(100)
        sink.note("a note")
        sink.warn("a warning")
    with pytest.raises(ResolveError), sink.step("plan"):
        raise ResolveError("no")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"✓ collect \d+\.\d\d s", text)
    assert re.search(r"✗ plan \d+\.\d\d s", text)
    assert "a note" in text
    assert "warning: a warning" in text


@pytest.mark.parametrize(
    ("environ", "lively", "coloured"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"CI": "true"}, False, False),
        ({"CI": "false"}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_no_color_and_ci_are_honoured(environ: dict[str, str], lively: bool, coloured: bool) -> None:
    assert console.lively(Terminal(), environ) is lively
    assert console.coloured(Terminal(), environ) is coloured
    assert not console.lively(io.StringIO(), environ)


def test_an_error_is_output_message_hint(capsys: pytest.CaptureFixture[str]) -> None:
    console.begin(as_json=False)
    console.fail(ResolveError("flask has no wheel", "choose another version", "uv: it is so"))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "uv: it is so\nerror: flask has no wheel\nhint: choose another version\n"


def test_nothing_drives_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.begin(as_json=False)
    console.fail(CdafError("file \x1b]0;title\x07 is odd", "", "\x1b[2Jgone"))
    assert "\x1b" not in capsys.readouterr().err
    assert console.plain("a\tb\nc\x00é") == "a\tb\nc\\x00é"


def test_secrets_stay_inside(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX_PRIVATE_PASSWORD", "c4n4ry-in-env")
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    console.begin(as_json=True)
    console.fail(CdafError("https://u:c4n4ry@index.example/ refused postgres:17", "no c4n4ry-in-env", "c4n4ry-in-env"))
    told = capsys.readouterr()
    assert "c4n4ry" not in told.out + told.err
    assert "https://***@index.example/ refused postgres:17" in told.err


def test_tables_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    console.begin(as_json=False)
    console.answer_tables(
        {"rows": 1},
        [
            console.Table("Things", ("name", "size"), [("a", "1"), ("longer", "20")]),
            console.Table("Nothing", ("x",), []),
            console.Table("", ("", ""), [("k", "v")]),
        ],
    )
    assert capsys.readouterr().out == "Things\nname    size\na       1\nlonger  20\n\nk  v\n"


def test_an_answer_is_lines_or_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    console.begin(as_json=False)
    console.answer({"path": "x"}, ["x"])
    assert capsys.readouterr().out == "x\n"
    console.begin(as_json=True)
    console.answer({"path": "x"}, ["x"])
    assert json.loads(capsys.readouterr().out) == {"ok": True, "path": "x"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "1.0 MB"), (12_345_678, "12.3 MB"), (3e9, "3.00 GB")],
)
def test_sizes(count: float, text: str) -> None:
    assert units.size(count) == text


def test_a_pseudo_terminal_gets_the_live_display(tmp_path: Path) -> None:
    """A real terminal: the program in a pty, as a user sees it."""
    import pty
    import sys

    program = (
        "import sys; from cdaf import progress; from cdaf.terminal import console, plain\n"
        "console.begin(as_json=False)\n"
        "with progress.step('resolve'):\n    progress.note('hello')"
    )
    seen: list[bytes] = []

    def read(handle: int) -> bytes:
        data = os.read(handle, 4096)
        seen.append(data)
        return data

    environment: Any = {"TERM": "xterm", "CI": ""}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        pty.spawn([sys.executable, "-c", program], read)
    text = b"".join(seen).decode()
    assert "✓" in text
    assert "\x1b[" in text

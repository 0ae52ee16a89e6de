"""Running the service's checks in a container of their own, and reading what their runner reports."""

import io
import shlex
import tarfile
from collections.abc import Iterator
from typing import Any

from cdaf import engine
from cdaf.engine import State
from cdaf.errors import SmokeError
from cdaf.testing import journal as smoke_journal
from cdaf.testing import watch
from cdaf.testing.compose_file import CHECKS, SERVICE
from cdaf.testing.outcome import Check, Verdict
from cdaf.testing.stack import JUNIT_FILE, ROUND
from cdaf.testing.stand import Stand, tail
from cdaf.testing.watch import judge_service, judge_sidecars, polled, the_service

_GRACE = 5.0  # seconds for a runner to write its report when it is interrupted
_LARGEST_REPORT = 16 << 20
_LONGEST_TIME = 1e6  # seconds; a check that says it took longer is not believed


def before(stand: Stand, number: int) -> None:
    """Run one command of `smoke.before` in the tested image, with the service's environment, to its end."""
    command = stand.declared.before[number]
    name = f"{stand.project.name}-before-{number + 1}"
    shown = shlex.join(command)
    stand.commands[name] = shown
    engine.one_off(stand.project, SERVICE, name, command, hint="mend smoke.before: its program must be in the image")
    state = _ended(stand, name, stand.declared.check_timeout)
    if state is None:
        raise SmokeError(
            f"`{shown}` took longer than {stand.declared.check_timeout} s",
            "look for what it waits for, or raise smoke.check_timeout",
            _stopped(stand, name),
        )
    if state.exit_code or state.oom:
        why = "ran out of memory" if state.oom else f"exited with code {state.exit_code}"
        raise SmokeError(f"`{shown}` {why}", "mend the command in smoke.before", tail(stand, state))


def run(stand: Stand, number: int) -> None:
    """Run the checks once; what their runner reports goes into the journal. Raises SmokeError unless all passed."""
    name = f"{stand.project.name}-checks-{number}"
    stand.commands[name] = f"checks, round {number}" if stand.declared.restart else "checks"
    brings = "smoke.image name an image that has" if watch.is_sealed(stand) else "smoke.group bring"
    hint = f"let {brings} the program, or mend smoke.checks"
    engine.one_off(stand.project, CHECKS, name, env={ROUND: str(number)}, hint=hint)
    limit = stand.declared.check_timeout
    try:
        state = _ended(stand, name, limit, watch_service=True)
    except SmokeError:
        _stopped(stand, name)
        _read(stand, name, number)
        raise
    output = _stopped(stand, name) if state is None else ""
    _read(stand, name, number)
    if state is None:
        raise SmokeError(
            f"the checks took longer than {limit} s",
            "the end of their log shows where they hang; or raise smoke.check_timeout",
            output,
        )
    if state.exit_code or state.oom or _failures(stand, number):
        raise _failed(stand, state, number)


def _failures(stand: Stand, number: int) -> list[str]:
    """The checks of a round that failed, whatever their runner's exit code says: a shell may have swallowed it."""
    return [each.name for each in stand.journal.checks if each.round == number and each.verdict == "failed"]


def _ended(stand: Stand, name: str, seconds: float, *, watch_service: bool = False) -> State | None:
    """A container's state once it has ended; None when that takes too long."""
    for states in polled(stand, seconds):
        state = next((each for each in states if each.name == name), None)
        if state is not None and state.over:
            return state
        judge_sidecars(stand, states)
        if watch_service:
            judge_service(stand, the_service(stand, states), "while the checks ran")
    return None


def _stopped(stand: Stand, name: str) -> str:
    """Interrupt a container as Ctrl-C would, so that its runner still reports; then kill it. Returns its last words."""
    stand.journal.stopped.add(name)
    for each, grace in (("SIGINT", _GRACE), ("SIGKILL", _GRACE)):
        engine.signal(name, each)
        for states in polled(stand, grace):
            state = next((one for one in states if one.name == name), None)
            if state is None or state.over:
                return tail(stand, state)
    return tail(stand, state)


def _failed(stand: Stand, state: State, number: int) -> SmokeError:
    checks = [each for each in stand.journal.checks if each.round == number]
    failed = _failures(stand, number)
    which = f" after the restart (round {number})" if number > 1 else ""
    if state.oom:
        message = f"the checks ran out of memory{which}"
    elif failed:
        names = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
        message = f"{len(failed)} of {len(checks)} checks failed{which}: {names}"
    else:
        message = f"the checks exited with code {state.exit_code}{which}"
    return SmokeError(message, "read the report: it shows what every container said meanwhile", _said(stand, state))


def _said(stand: Stand, state: State) -> str:
    """The end of the checks' log and of the service's: what a check complains of is often explained there."""
    service = the_service(stand, engine.states(stand.run))
    return f"the checks' log ends:\n{tail(stand, state)}\nthe service's log ends:\n{tail(stand, service)}"


def _read(stand: Stand, name: str, number: int) -> None:
    """Copy the runner's JUnit XML out of the container, if it wrote one."""
    pieces = engine.take(name, JUNIT_FILE)
    if pieces is None:
        return
    with tarfile.open(fileobj=io.BytesIO(_limited(pieces))) as tar:
        file = next((tar.extractfile(each) for each in tar.getmembers() if each.isfile()), None)
        data = file.read() if file else b""
    for each in parse(stand.mask(data.decode(errors="replace")), number, _life(stand, name)):
        stand.journal.checks.append(each)


def _life(stand: Stand, name: str) -> tuple[float, float]:
    """From when to when a container ran."""
    journal = stand.journal
    seen = {each.action: smoke_journal.of_engine(journal, each.at) for each in stand.events if each.name == name}
    return seen.get("start", 0.0), seen.get("die", smoke_journal.now(journal))


def _limited(pieces: Iterator[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > _LARGEST_REPORT:
            raise SmokeError(f"the checks' JUnit report is larger than {_LARGEST_REPORT >> 20} MiB", "print less")
    return bytes(data)


def parse(text: str, number: int, life: tuple[float, float]) -> list[Check]:
    """The checks in a JUnit report; runners tell only how long each took.

    So each begins where the one before it ended, and the last ends with the runner, which ran during `life`: it takes
    longer to get ready than to end.
    """
    root = _root(text)
    cases = [case for suite in root.iter("testsuite") for case in suite.findall("testcase")]
    at = max(life[0], life[1] - sum(_number(case.get("time")) for case in cases))
    found = []
    for case in cases:
        check = _check(case, number, at)
        at += check.seconds
        found.append(check)
    return found


def _root(text: str) -> Any:
    from xml.etree import ElementTree as ET

    class Plain(ET.TreeBuilder):
        """Builds the tree of a document without a type of its own: entities are for bombs, and JUnit knows none."""

        def doctype(self, *_: object) -> None:
            """Refuse the declaration before anything in it is read."""
            raise SmokeError("the checks' JUnit report declares a document type", "look at the checks' runner")

    try:
        return ET.fromstring(text, ET.XMLParser(target=Plain()))  # noqa: S314 - without a document type it is plain
    except ET.ParseError as error:
        raise SmokeError(f"the checks' JUnit report cannot be read: {error}", "look at the checks' runner") from error


def _check(case: Any, number: int, at: float) -> Check:
    verdict: Verdict = "passed"
    message, detail = "", ""
    for kind, means in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        told = case.find(kind)
        if told is not None:
            verdict = "failed" if means == "failed" else "skipped"
            message, detail = told.get("message") or "", (told.text or "").strip()
            break
    output = [f"{each.tag}:\n{each.text.strip()}" for each in case if each.tag.startswith("system-") and each.text]
    return Check(
        round=number,
        group=case.get("classname") or "",
        name=case.get("name") or "?",
        verdict=verdict,
        start=at,
        seconds=_number(case.get("time")),
        message=message.strip(),
        detail="\n\n".join(filter(None, [detail, *(output if verdict == "failed" else [])])),
    )


def _number(text: str | None) -> float:
    try:
        seconds = float((text or "0").replace(",", ""))
        return seconds if 0 <= seconds <= _LONGEST_TIME else 0.0
    except ValueError:
        return 0.0

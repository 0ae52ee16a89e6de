"""Judging containers: by their health, their state and what they answer, never by time alone."""

import time
from collections.abc import Iterator, Sequence

from cdaf import engine
from cdaf.engine import State
from cdaf.errors import SmokeError
from cdaf.net import probe
from cdaf.net.probe import Answer
from cdaf.testing import journal
from cdaf.testing.compose_file import CHECKS, SERVICE
from cdaf.testing.stand import Stand, tail

INTERVAL = 0.1
_SETTLED = 1.0  # seconds that a container runs before it counts as up, when it has neither port nor health check
_WAITING = Answer(False, "its container is not running yet")


def polled(stand: Stand, seconds: float) -> Iterator[list[State]]:
    """The states of all containers, again and again until the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        yield engine.states(stand.run)
        if time.monotonic() >= deadline:
            return
        time.sleep(INTERVAL)


def sidecars_ready(stand: Stand, names: list[str]) -> None:
    """Wait until each of these is healthy, answers its probe, or did its one job."""
    seconds = stand.declared.timeout
    waiting = set(names)
    for states in polled(stand, seconds):
        judge_sidecars(stand, states)
        waiting -= {each.service for each in states if each.service in waiting and _is_up(stand, each)}
        if not waiting:
            return
    name = sorted(waiting)[0]
    state = next((each for each in states if each.service == name), None)
    said = f": {state.probe}" if state and state.probe else ""
    raise SmokeError(
        f"sidecar {stand.title(name)} was not healthy within {seconds} s{said}",
        "read its log, or raise smoke.timeout",
        tail(stand, state),
    )


def judge_sidecars(stand: Stand, states: list[State]) -> None:
    """Raise SmokeError when one of those that stand beside the service has failed."""
    for each in states:
        if each.service in (SERVICE, CHECKS):
            continue
        fault = _fault(each)
        checked = bool(each.health) or each.service in stand.stack.probes
        if fault is None and each.status == "exited" and checked:
            fault = "exited with code 0"
        if fault is None and each.health == "unhealthy":
            fault = f"is unhealthy: {each.probe or 'its health check fails'}"
        if fault:
            raise SmokeError(
                f"sidecar {stand.title(each.service)} {fault}", "read its log and its settings", tail(stand, each)
            )


def _fault(state: State) -> str | None:
    """What is wrong with a container, whatever it is for."""
    if state.oom:
        return "ran out of memory"
    if state.status == "dead" or (state.status == "exited" and state.exit_code):
        return f"exited with code {state.exit_code}" + (f": {state.error}" if state.error else "")
    if state.restarts or state.status == "restarting":
        return f"exited with code {state.exit_code} and was started again"
    return None


def _is_up(stand: Stand, state: State) -> bool:
    if state.status == "exited":
        return state.exit_code == 0
    if state.status != "running" or state.health not in ("", "healthy"):
        return False
    probe = stand.stack.probes.get(state.service)
    if probe is None:
        return True
    return _asked(stand, state, probe.port, probe.path).ready


def service_ready(stand: Stand) -> None:
    """Wait until the service runs, is healthy where it has a health check, and answers from outside."""
    seconds = stand.declared.timeout
    answered, running_since = _WAITING, None
    for states in polled(stand, seconds):
        judge_sidecars(stand, states)
        state = the_service(stand, states)
        judge_service(stand, state, "before it was healthy")
        if state is None or state.status != "running":
            continue
        running_since = running_since or time.monotonic()
        if state.health == "unhealthy":
            raise SmokeError(f"service is unhealthy: {state.probe}", "read its log", tail(stand, state))
        answered = _service_answer(stand, state, running_since)
        if answered.ready and state.health in ("", "healthy"):
            return
    raise _too_late(stand, state, answered, seconds)


def the_service(stand: Stand, states: list[State]) -> State | None:
    """The container of the service itself, not those of its commands."""
    return next((each for each in states if each.service == SERVICE and each.name not in stand.commands), None)


def judge_service(stand: Stand, state: State | None, when: str) -> None:
    """Raise SmokeError when the service has ended; it must neither crash nor leave its container."""
    if state is None:
        return
    fault = _fault(state) or ("exited with code 0" if state.over else None)
    if fault is None:
        return
    hint = "read its log, of which the end is shown"
    if state.exit_code == 0 and not state.oom:
        hint = f"let {start_of(stand)} name a command that stays in the foreground"
    raise SmokeError(f"service {fault} {when}", hint, tail(stand, state))


def _service_answer(stand: Stand, state: State, running_since: float) -> Answer:
    health, port = stand.declared.health, stand.manifest.service.port
    if port is not None:
        return _asked(stand, state, port, health)
    settled = time.monotonic() - running_since >= _SETTLED
    return Answer(settled, "it stays up" if settled else "it has just started")


def _asked(stand: Stand, state: State, port: int, path: str | None) -> Answer:
    outer = state.ports.get(f"{port}/tcp")
    if outer is None:
        return Answer(False, f"port {port} is not published yet")
    found = probe.page(stand.host, outer, path) if path else probe.accepts(stand.host, outer)
    journal.answer(stand.journal, state.name, found.ready, found.text)
    return found


def _too_late(stand: Stand, state: State | None, answered: Answer, seconds: int) -> SmokeError:
    output = tail(stand, state)
    if state is None or state.status != "running":
        return SmokeError(f"service was not running within {seconds} s", "read the engine's log", output)
    port = stand.manifest.service.port
    if "nobody listens" in answered.text:
        mend = f"mend service.port or {start_of(stand)}"
        return _wrong_port(port, engine.listening(state), seconds, output, mend)
    # What it answers from outside says more than what a health check inside printed.
    told, hint = answered.text, "read its log, or raise smoke.timeout"
    if answered.ready:
        told = state.probe or "its health check has not passed"
    elif 300 <= answered.status < 500:
        # The service works and has no such page; another of its ports may.
        others = _outer_ports([each for each in engine.listening(state) or () if each.port != port])
        told += f" on port {port}, and it listens on {others} too" if others else ""
        hint = f"mend smoke.health{' or service.port' if others else ''}: a page of the service that answers 2xx"
    return SmokeError(f"service was not healthy within {seconds} s: {told}", hint, output)


def start_of(stand: Stand) -> str:
    """Where the command that starts the service is declared: of an image that its Dockerfile made, in that."""
    return "the Dockerfile's ENTRYPOINT and CMD" if is_sealed(stand) else "service.start"


def is_sealed(stand: Stand) -> bool:
    """Whether the service's images were made elsewhere, by a Dockerfile, and lie in the bundle as they are."""
    return any(each.sealed for each in stand.manifest.images)


def _wrong_port(
    port: int | None, found: list[engine.Listener] | None, seconds: int, output: str, mend: str
) -> SmokeError:
    message = f"no answer on port {port} within {seconds} s"
    if any(each.port == port and each.inside for each in found or ()):
        return SmokeError(
            f"{message}: the service listens on 127.0.0.1, inside its container alone", "bind it to 0.0.0.0", output
        )
    if others := _outer_ports(found or ()):
        return SmokeError(f"{message}: the service listens on {others}", mend, output)
    told = ": the service listens on no port" if found == [] else ""
    return SmokeError(f"{message}{told}", f"{mend}, or raise smoke.timeout", output)


def _outer_ports(found: Sequence[engine.Listener]) -> str:
    return ", ".join(dict.fromkeys(str(each.port) for each in found if not each.inside))

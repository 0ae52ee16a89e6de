"""What happens in a smoke test, noted as it happens, and put in order afterwards."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from cdaf import progress
from cdaf.engine import Event
from cdaf.errors import CdafError
from cdaf.testing.compose_file import CHECKS, SERVICE
from cdaf.testing.outcome import Check, Lane, Moment, Said, Step, Verdict

_WORDS: dict[
    str, tuple[Literal["created", "started", "healthy", "unhealthy", "exited", "killed", "restarted"], bool]
] = {
    "create": ("created", False),
    "start": ("started", False),
    "restart": ("restarted", False),
    "health_status: healthy": ("healthy", False),
    "health_status: unhealthy": ("unhealthy", True),
    "oom": ("killed", True),
    "die": ("exited", False),
}
_STOPPED = (137, 143)  # 128 + SIGKILL, SIGTERM: how a container ends that somebody stops


@dataclass(slots=True)
class Journal:
    """Gathers one platform's run; `ahead` is the engine's clock less ours."""

    ahead: float = 0.0
    began: float = field(default_factory=time.time)
    steps: list[Step] = field(default_factory=list)
    answers: dict[str, list[Moment]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    logs: dict[str, tuple[Said, ...]] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)


def now(journal: Journal) -> float:
    """Seconds since the run began."""
    return time.time() - journal.began


def of_engine(journal: Journal, at: float) -> float:
    """A time by the engine's clock, in seconds since the run began."""
    return max(0.0, at - journal.ahead - journal.began)


@contextmanager
def step(journal: Journal, name: str) -> Iterator[None]:
    """Time one step and note how it ended."""
    start = now(journal)
    verdict: Verdict = "failed"
    message = "interrupted"
    try:
        with progress.step(name):
            yield
        verdict, message = "passed", ""
    except CdafError as error:
        message = error.message
        raise
    finally:
        journal.steps.append(Step(name, start, now(journal), verdict, message))


def answer(journal: Journal, container: str, ready: bool, text: str) -> None:
    """Note what a probe from outside came back with; the same answer again is one note."""
    noted = journal.answers.setdefault(container, [])
    if not noted or noted[-1].text != text:
        noted.append(Moment(now(journal), "answer" if ready else "probe", text))


def lanes(journal: Journal, events: Sequence[Event], titles: dict[str, str], logs: dict[str, str]) -> tuple[Lane, ...]:
    """A lane for each container, in the order of creation; `logs` are the files of their logs."""
    names = dict.fromkeys(event.name for event in events)
    return tuple(_lane(journal, name, [each for each in events if each.name == name], titles, logs) for name in names)


def _lane(journal: Journal, name: str, events: Sequence[Event], titles: dict[str, str], logs: dict[str, str]) -> Lane:
    service = events[0].service
    role: Literal["sidecar", "before", "service", "checks"] = "sidecar"
    if service == CHECKS:
        role = "checks"
    elif service == SERVICE:
        role = "before" if events[0].one_off else "service"
    moments = [found for each in events if (found := _moment(journal, each))]
    moments = sorted([*moments, *journal.answers.get(name, [])], key=lambda one: one.at)
    title = titles.get(name) or titles.get(service, service)
    return Lane(name, title, role, tuple(moments), logs.get(name, ""))


def _moment(journal: Journal, event: Event) -> Moment | None:
    if event.action not in _WORDS:
        return None
    kind, bad = _WORDS[event.action]
    text: str = kind
    if event.exit_code is not None and kind == "exited":
        text = f"exited with code {event.exit_code}"
        if event.exit_code == _STOPPED[0] and event.name in journal.stopped:
            text = "killed, as it ignored the signal to stop"
        bad = event.exit_code != 0 and not (event.exit_code in _STOPPED and event.name in journal.stopped)
    return Moment(of_engine(journal, event.at), kind, text, bad)

"""The engine's events of one run, gathered while it lasts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cdaf.engine import owner
from cdaf.engine.client import api, asking
from cdaf.engine.containers import ONE_OFF, SERVICE
from cdaf.errors import EngineError


class Event(NamedTuple):
    """What happened to a container: `action` is the engine's word (create, start, die, health_status: healthy)."""

    at: float
    container: str
    name: str
    service: str
    one_off: bool
    action: str
    exit_code: int | None


@contextmanager
def events(run: str) -> Iterator[list[Event]]:
    """Gather the events of a run's containers into the list as they come; the engine itself keeps only a few."""
    gathered: list[Event] = []
    with asking("listening to events"):
        stream = api().events(decode=True, filters={"label": f"{owner.RUN}={run}", "type": "container"})
    listener = threading.Thread(target=_gather, args=(stream, gathered), daemon=True)
    listener.start()
    try:
        yield gathered
    finally:
        time.sleep(0.05)  # the engine sends an event a moment after the call that caused it has returned
        stream.close()
        listener.join(timeout=1)


def _gather(stream: Iterator[dict[str, object]], into: list[Event]) -> None:
    try:
        with asking("listening to events"):
            for each in stream:
                if event := _event(each):
                    into.append(event)
    except (EngineError, ValueError):
        return  # the engine went away, or the stream was closed: whoever waits for a container notices by itself


def _event(told: dict[str, object]) -> Event | None:
    actor = told.get("Actor")
    action = str(told.get("Action") or told.get("status") or "")
    if not isinstance(actor, dict) or action.startswith("exec_"):
        return None
    notes = actor.get("Attributes") or {}
    nanoseconds = told.get("timeNano")
    return Event(
        at=nanoseconds / 1e9 if isinstance(nanoseconds, int) else time.time(),
        container=str(actor.get("ID", "")),
        name=str(notes.get("name", "")),
        service=str(notes.get(SERVICE, "")),
        one_off=notes.get(ONE_OFF) == "True",
        action=action,
        exit_code=int(notes["exitCode"]) if str(notes.get("exitCode", "")).isdecimal() else None,
    )

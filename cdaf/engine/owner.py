"""Labels on everything that cdaf creates: which run made it, and who that was, so that the dead leave nothing."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from cdaf import progress
from cdaf.engine.client import api, asking, missing
from cdaf.errors import EngineError

RUN, OWNER, KEEP = "io.cdaf.run", "io.cdaf.owner", "io.cdaf.keep"
_SWEEPS = 10


class Left(msgspec.Struct, frozen=True):
    """A container, network or volume that bears cdaf's label."""

    kind: str
    id: str
    name: str
    labels: dict[str, str]


def new_run() -> str:
    """An id for a run, unlike any other."""
    return secrets.token_hex(6)


def labels(run: str, *, keep: bool = False) -> dict[str, str]:
    """The labels of everything that this run creates."""
    return {RUN: run, OWNER: owner(), **({KEEP: "true"} if keep else {})}


def owner() -> str:
    """This process, named so that any process on this machine can tell later whether it is alive; else empty.

    A process id means something only within one boot, one PID namespace and one start time (proc(5)).
    """
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> str:
    return f"{_place()}/{pid}/{_started(pid)}" if _place() else ""


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process of this machine started, in ticks since boot; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_dead(of: str) -> bool:
    """Whether that owner is provably gone: of this boot and PID namespace, and not running."""
    place, _, rest = of.rpartition("/")[0].rpartition("/")
    started = of.rpartition("/")[2]
    return bool(rest.isdecimal() and place and place == _place() and _started(int(rest)) != started)


def found(label: str = RUN) -> list[Left]:
    """Every container, network and volume with a label ("name" or "name=value")."""
    filters = {"label": label}
    with asking("listing what bears cdaf's label"):
        containers = api().containers(all=True, filters=filters)
        networks = api().networks(filters=filters)
        volumes = api().volumes(filters=filters).get("Volumes") or []
    return [
        *(Left("container", each["Id"], each["Names"][0].lstrip("/"), each["Labels"] or {}) for each in containers),
        *(Left("network", each["Id"], each["Name"], each["Labels"] or {}) for each in networks),
        *(Left("volume", each["Name"], each["Name"], each["Labels"] or {}) for each in volumes),
    ]


def leftovers() -> list[Left]:
    """What runs that were killed left in the engine; what `--keep` left is not among it."""
    return [each for each in found() if KEEP not in each.labels and is_dead(each.labels.get(OWNER, ""))]


def clear_leftovers() -> None:
    """Remove what runs that were killed have left; their processes are provably gone."""
    left = leftovers()
    if left:
        progress.note(f"removing what a killed run left: {', '.join(each.name for each in left)}")
        for fault in remove(left):
            progress.warn(fault)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no Ctrl-C and no SIGTERM end what is taken away here; it is short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def remove(left: list[Left]) -> list[str]:
    """Remove things, containers first with their anonymous volumes; returns what could not be removed and why."""
    faults = []
    for each in sorted(left, key=lambda one: one.kind):
        try:
            with asking(f"removing {each.kind} {each.name}"):
                _remove(each)
        except EngineError as error:
            faults.append(error.message)
    return faults


def _remove(each: Left) -> None:
    try:
        if each.kind == "container":
            api().remove_container(each.id, force=True, v=True)
        elif each.kind == "network":
            api().remove_network(each.id)
        else:
            api().remove_volume(each.id, force=True)
    except Exception as error:
        if not missing(error) and not _under_way(error):
            raise


def _under_way(error: Exception) -> bool:
    """Another removal of the same thing is going on; it will be looked for again."""
    return "is already in progress" in str(getattr(error, "explanation", ""))


def sweep(run: str, pause: float = 0.05) -> list[str]:
    """Remove all that a run created, until nothing of it appears any more; returns what is left and why.

    A client that was killed may have asked for one more container: after `pause` seconds it is looked for once more.
    """
    faults: list[str] = []
    clean = 0
    for _ in range(_SWEEPS):
        left = found(f"{RUN}={run}")
        clean = 0 if left else clean + 1
        if clean > 1:
            return []
        faults = remove(left)
        time.sleep(pause)
    return faults or [f"{each.kind} {each.name} is still there" for each in found(f"{RUN}={run}")]

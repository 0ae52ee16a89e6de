"""Containers: their states, logs and events, files in and out, and single runs for builds."""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple

import msgspec

from cdaf import chores
from cdaf.engine import owner
from cdaf.engine.client import api, asking, missing
from cdaf.errors import EngineError
from cdaf.net import transfers

SERVICE, ONE_OFF = "com.docker.compose.service", "com.docker.compose.oneoff"


class State(msgspec.Struct, frozen=True):
    """What a container is doing; `health` is empty without a health check, times are the engine's, RFC 3339."""

    id: str
    name: str
    service: str
    status: str
    exit_code: int
    oom: bool
    health: str
    restarts: int
    error: str
    pid: int
    ports: dict[str, int]
    probe: str

    @property
    def over(self) -> bool:
        """Whether it has ended, or never started."""
        return self.status in ("exited", "dead", "removing")


class Line(NamedTuple):
    """One line of a container's log, at a time in seconds since the epoch."""

    at: float
    text: str


class Ran(NamedTuple):
    """What a single run left: exit code, both streams, and the tar of what it was asked to bring back."""

    code: int
    stdout: bytes
    stderr: bytes
    taken: bytes

    @property
    def output(self) -> str:
        """Both streams, for people."""
        return (self.stdout + self.stderr).decode(errors="replace").strip()


def run(
    image: str,
    argv: Sequence[str],
    *,
    put: bytes | Iterable[bytes] | None = None,
    at: str = "/",
    take: str | None = None,
    into: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    network: str = "none",
    platform: str | None = None,
    workdir: str | None = None,
    user: str | None = None,
) -> Ran:
    """Run one command in a container of `image` (an id) to its end; the container is always removed.

    That takes an engine a while, which nobody waits for when all went well.

    The tar `put` is spread under the folder `at` first; the folder or file `take` comes back as a tar, in `taken` or
    written to `into`, when the command exits with 0. Raises EngineError when the engine cannot do it.
    """
    run_id, gone = owner.new_run(), False
    transfers.check()
    _running.add(run_id)
    try:
        with asking(f"running {argv[0]} in a container"):
            container = api().create_container(
                image,
                command=list(argv[1:]),
                entrypoint=[argv[0]],
                environment=dict(env or {}),
                labels=owner.labels(run_id),
                working_dir=workdir,
                user=user,
                platform=platform,
                use_config_proxy=False,
                host_config=api().create_host_config(network_mode=network),
            )["Id"]
            if put is not None:
                api().put_archive(container, at, put)
            api().start(container)
            code = int(api(timeout=_LONG).wait(container)["StatusCode"])
            streams = [api().logs(container, stdout=out, stderr=not out) for out in (True, False)]
            taken = b"" if take is None or code else _take(container, take, into)
            chores.begin(functools.partial(_remove, container, run_id))
            gone = True
            return Ran(code, streams[0], streams[1], taken)
    finally:
        _running.discard(run_id)
        if not gone:
            with owner.undisturbed():
                owner.sweep(run_id)


_running: set[str] = set()


def _end_running() -> None:
    """What other threads wait for ends when its container is gone."""
    with owner.undisturbed(), suppress(EngineError):
        for each in tuple(_running):
            owner.sweep(each)


transfers.on_interrupt(_end_running)


def _remove(container: str, run_id: str) -> None:
    if owner.remove([owner.Left("container", container, "", {})]):
        owner.sweep(run_id)


_LONG = 24 * 3600


def _take(container: str, path: str, into: IO[bytes] | None) -> bytes:
    target = into or io.BytesIO()
    for chunk in take(container, path) or ():
        target.write(chunk)
    return target.getvalue() if isinstance(target, io.BytesIO) and into is None else b""


def take(container: str, path: str) -> Iterator[bytes] | None:
    """A tar of a file or folder of a container, running or not; None when there is no such path."""
    with asking(f"copying {path} out of a container"):
        try:
            stream, _ = api().get_archive(container, path)
        except Exception as error:
            if missing(error):
                return None
            raise
    pieces: Iterator[bytes] = iter(stream)
    return pieces


def states(run: str) -> list[State]:
    """All containers of a run, in the order in which they were created."""
    with asking("looking at the containers"):
        listed = api().containers(all=True, filters={"label": f"{owner.RUN}={run}"})
        return [found for each in reversed(listed) if (found := _state(each["Id"])) is not None]


def _state(container: str) -> State | None:
    try:
        told = api().inspect_container(container)
    except Exception as error:
        if missing(error):
            return None
        raise
    state, config = told["State"], told["Config"]
    health = state.get("Health") or {}
    probes = health.get("Log") or []
    return State(
        id=told["Id"],
        name=told["Name"].lstrip("/"),
        service=(config.get("Labels") or {}).get(SERVICE, ""),
        status=state["Status"],
        exit_code=state["ExitCode"],
        oom=bool(state.get("OOMKilled")),
        health="" if health.get("Status") in (None, "none") else health["Status"],
        restarts=int(told.get("RestartCount") or 0),
        error=state.get("Error") or "",
        pid=int(state.get("Pid") or 0),
        ports=_ports(told),
        probe=_last_line(probes[-1].get("Output") or "") if probes else "",
    )


def _last_line(text: str) -> str:
    """Where a failed check's reason stands: below a traceback, or below a progress meter."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _ports(told: Mapping[str, Any]) -> dict[str, int]:
    """Published ports: "8000/tcp" to the one on the engine's host."""
    bound = (told.get("NetworkSettings") or {}).get("Ports") or {}
    return {inner: int(outer[0]["HostPort"]) for inner, outer in bound.items() if outer}


def log(container: str, *, follow: bool = False, tail: int | None = None) -> Iterator[Line]:
    """A container's log, line by line with the engine's times; long lines that the engine split are whole again."""
    with asking("reading a container's log"):
        pieces = api().logs(
            container, stream=True, follow=follow, timestamps=True, tail="all" if tail is None else tail
        )
        yield from _lines(pieces)


def _lines(pieces: Iterable[bytes]) -> Iterator[Line]:
    """Whole lines of pieces; of a line without end the first part alone, for a log may be one line for ever."""
    whole, when, ended = bytearray(), 0.0, True
    for piece in pieces:
        stamp, _, text = piece.partition(b" ")
        when = seconds(stamp.decode()) if ended else when
        ended = text.endswith(b"\n")
        whole += text.removesuffix(b"\n")[: max(0, _LONGEST_LINE - len(whole))]
        if ended:
            yield from (Line(when, line.decode(errors="replace")) for line in bytes(whole).split(b"\n"))
            whole.clear()
    if not ended:
        yield Line(when, whole.decode(errors="replace"))


_LONGEST_LINE = 1 << 18


def seconds(stamp: str) -> float:
    """An RFC 3339 time with up to nine fractional digits, in seconds since the epoch."""
    from datetime import datetime

    main, _, rest = stamp.rstrip("Z").partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))] if rest else ""
    zone = rest[len(digits) :] or "+00:00"
    return datetime.fromisoformat(main[:19] + zone).timestamp() + (float(f"0.{digits}") if digits else 0.0)


def execute(container: str, argv: Sequence[str]) -> str | None:
    """A command's stdout in a running container, None when it fails or is not there."""
    with asking(f"running {argv[0]}"):
        try:
            started = api().exec_create(container, list(argv), stderr=False)["Id"]
            said: bytes = api().exec_start(started)
            return said.decode(errors="replace") if api().exec_inspect(started)["ExitCode"] == 0 else None
        except Exception as error:
            if getattr(error, "explanation", None):
                return None
            raise


def signal(container: str, name: str) -> None:
    """Send a signal to a container's first process, if it still runs."""
    with asking(f"sending {name}"):
        try:
            api().kill(container, name)
        except Exception as error:
            if not getattr(error, "explanation", None):
                raise


class Listener(NamedTuple):
    """A TCP port on which a container listens; `inside` when only on its own loopback, which nobody else reaches."""

    port: int
    inside: bool


def listening(state: State) -> list[Listener] | None:
    """On what a container's processes listen; None when that cannot be told.

    Asked of the container's own `cat`; where it has none, of this machine's /proc, if the engine's processes are here.
    """
    tables = [execute(state.id, ["cat", f"/proc/net/{name}"]) for name in ("tcp", "tcp6")]
    table = "".join(filter(None, tables)) or _local_table(state)
    if table is None:
        return None
    rows = [row.split() for row in table.splitlines()]
    found = [row[1].rpartition(":") for row in rows if len(row) > 3 and row[3] == _LISTEN]
    return sorted({Listener(int(port, 16), address in _LOOPBACKS) for address, _, port in found if address != _NAMES})


_LISTEN = "0A"  # proc_net_tcp: the state of a listening socket; addresses are hexadecimal, in host order
_LOOPBACKS = ("0100007F", "00000000000000000000000001000000")
_NAMES = "0B00007F"  # 127.0.0.11, the engine's own name server


def _local_table(state: State) -> str | None:
    from pathlib import Path

    place = Path(f"/proc/{state.pid}")
    try:
        if state.id not in (place / "cgroup").read_text():
            return None
        return (place / "net/tcp").read_text() + (place / "net/tcp6").read_text()
    except OSError:
        return None

"""What a smoke test found, as values: times are seconds since the platform's run began."""

from pathlib import Path
from typing import Literal

import msgspec

Verdict = Literal["passed", "failed", "skipped"]
PlatformState = Literal["passed", "emulated", "not run", "failed"]


class Moment(msgspec.Struct, frozen=True):
    """Something that happened at one time; `kind` decides its mark."""

    at: float
    kind: Literal["created", "started", "healthy", "unhealthy", "exited", "killed", "restarted", "probe", "answer"]
    text: str = ""
    bad: bool = False


class Lane(msgspec.Struct, frozen=True):
    """One container: its title, its moments in order, and the file of its log below the report's folder."""

    name: str
    title: str
    role: Literal["sidecar", "before", "service", "checks"]
    moments: tuple[Moment, ...]
    log: str = ""


class Step(msgspec.Struct, frozen=True):
    """One of cdaf's own steps, from `start` to `end`."""

    name: str
    start: float
    end: float
    verdict: Verdict
    message: str = ""


class Check(msgspec.Struct, frozen=True):
    """One check of the service's own, as its runner reported it."""

    round: int
    group: str
    name: str
    verdict: Verdict
    start: float
    seconds: float
    message: str = ""
    detail: str = ""


class Said(msgspec.Struct, frozen=True):
    """A line that a container logged."""

    at: float
    text: str


class PlatformResult(msgspec.Struct, frozen=True):
    """The run of one platform's image; `digest` is the manifest's, `failure` and `hint` say why it is not passed."""

    platform: str
    state: PlatformState
    digest: str
    began: str = ""
    seconds: float = 0.0
    failure: str = ""
    hint: str = ""
    steps: tuple[Step, ...] = ()
    lanes: tuple[Lane, ...] = ()
    checks: tuple[Check, ...] = ()
    logs: dict[str, tuple[Said, ...]] = {}


class SmokeReport(msgspec.Struct, frozen=True):
    """All platforms of one bundle; `folder` holds report.html, junit.xml, report.json and the logs."""

    service: str
    version: str
    bundle: str
    platforms: tuple[PlatformResult, ...]
    folder: Path

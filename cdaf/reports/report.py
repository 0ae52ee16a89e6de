"""The report of a smoke test, as files: a page for people, JUnit XML for CI, JSON for programs, and every log."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cdaf.reports import html, junit
from cdaf.testing.outcome import PlatformResult, Said, SmokeReport

HTML, JUNIT, JSON, LOGS = "report.html", "junit.xml", "report.json", "logs"


def slug(platform: str) -> str:
    """A platform as a folder's name."""
    return platform.replace("/", "-")


def write(found: SmokeReport) -> None:
    """Write all of it into the report's folder, in place of what an earlier test left there."""
    # Containers have other names each time, so logs of an earlier test would stay beside these.
    for log in found.folder.glob(f"{LOGS}/*/*.log"):
        log.unlink()
    for platform in found.platforms:
        for lane in platform.lanes:
            if lane.log:
                _write(found.folder / lane.log, _log(platform, platform.logs.get(lane.name, ())))
    _write(found.folder / JUNIT, junit.encode(found))
    _write(found.folder / JSON, _json(found))
    _write(found.folder / HTML, html.page(found).encode(errors="replace"))


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def _log(platform: PlatformResult, lines: tuple[Said, ...]) -> bytes:
    """A log as text, each line with its time in UTC."""
    began = datetime.fromisoformat(platform.began).timestamp()
    return "".join(
        f"{datetime.fromtimestamp(began + line.at, UTC).isoformat(timespec='milliseconds')[:23]}Z {line.text}\n"
        for line in lines
    ).encode(errors="replace")


def _json(found: SmokeReport) -> bytes:
    """All but the logs' lines, which have files of their own, and the folder, which is where this lies."""
    platforms = [msgspec.to_builtins(each) for each in found.platforms]
    told = {
        "service": found.service,
        "version": found.version,
        "bundle": found.bundle,
        "platforms": [{key: value for key, value in each.items() if key != "logs"} for each in platforms],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"

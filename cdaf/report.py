"""The report of a smoke test, as files."""

from cdaf.outcome import SmokeReport

HTML, JUNIT, JSON, LOGS = "report.html", "junit.xml", "report.json", "logs"


def slug(platform: str) -> str:
    """A platform as a folder's name."""
    return platform.replace("/", "-")


def write(found: SmokeReport) -> None:
    """Write."""

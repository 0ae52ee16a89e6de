"""JUnit XML of a smoke test: cdaf's own steps and every round of checks, in one file that CI servers read."""

import re
from xml.etree import ElementTree as ET

from cdaf.testing.outcome import Check, PlatformResult, SmokeReport, Step

# XML 1.0, section 2.2: what no document may hold, not even escaped
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def encode(found: SmokeReport) -> bytes:
    """The whole report as JUnit XML."""
    root = ET.Element("testsuites", name=f"{found.service} {found.version}")
    for each in found.platforms:
        _platform(root, each)
    suites = list(root)
    for key in ("tests", "failures", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _platform(root: ET.Element, told: PlatformResult) -> None:
    _suite(root, f"cdaf {told.platform}", told, [_step(told, each) for each in told.steps] or [_untested(told)])
    for number in sorted({each.round for each in told.checks}):
        cases = [_check(each) for each in told.checks if each.round == number]
        _suite(root, f"checks {told.platform} round {number}", told, cases)


def _suite(root: ET.Element, name: str, told: PlatformResult, cases: list[ET.Element]) -> None:
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)), errors="0")
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    if told.began:
        suite.set("timestamp", told.began)
    suite.extend(cases)


def _step(told: PlatformResult, step: Step) -> ET.Element:
    case = _case(f"cdaf.{told.platform}", step.name, step.end - step.start)
    if step.verdict == "failed":
        _told(case, "failure", step.message, told.hint)
    return case


def _untested(told: PlatformResult) -> ET.Element:
    case = _case(f"cdaf.{told.platform}", "smoke test", 0.0)
    _told(case, "skipped", told.failure, "")
    return case


def _check(check: Check) -> ET.Element:
    case = _case(check.group, check.name, check.seconds)
    if check.verdict != "passed":
        _told(case, "failure" if check.verdict == "failed" else "skipped", check.message, check.detail)
    return case


def _case(group: str, name: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", classname=_clean(group), name=_clean(name), time=f"{seconds:.3f}")


def _told(case: ET.Element, kind: str, message: str, text: str) -> None:
    ET.SubElement(case, kind, message=_clean(message)).text = _clean(text)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)

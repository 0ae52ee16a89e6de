"""The report: everything escaped, nothing from elsewhere, the same facts in every form."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from cdaf import assets
from cdaf.reports import html, junit, report, timeline
from cdaf.testing.outcome import Check, Lane, Moment, PlatformResult, Said, SmokeReport, Step

NASTY = "</script><img src=x onerror=alert(1)> & \"quoted\" 'too' \x1b[31mred\x1b[0m \x00"


def result(text: str = "fine", state: str = "failed") -> PlatformResult:
    name = "cdaf-tiny-1-service-1"
    return PlatformResult(
        platform="linux/amd64",
        state="failed" if state == "failed" else "passed",
        digest="sha256:" + "a" * 64,
        began="2026-01-02T03:04:05.678Z",
        seconds=9.5,
        failure=text,
        hint=text,
        steps=(Step("load", 0, 1, "passed"), Step(text, 1, 9, "failed", text)),
        lanes=(
            Lane(
                name,
                text,
                "service",
                (
                    Moment(1.0, "created"),
                    Moment(1.5, "started"),
                    Moment(1.6, "probe", text),
                    Moment(2.5, "answer", text),
                    Moment(8.0, "exited", "exited with code 1", bad=True),
                ),
                "logs/linux-amd64/service.log",
            ),
            Lane("cdaf-tiny-1-checks-1", "checks", "checks", (Moment(3, "started"), Moment(8, "exited", text))),
        ),
        checks=(
            Check(1, text, "one", "passed", 3.0, 1.0),
            Check(1, text, text, "failed", 4.0, 2.0, text, text),
            Check(1, text, "three", "skipped", 6.0, 0.0, text),
        ),
        logs={name: tuple(Said(1.0 + number / 100, f"{text} {number}") for number in range(700))},
    )


def found(folder: Path, text: str = "fine") -> SmokeReport:
    rest = PlatformResult("linux/arm64", "not run", "sha256:" + "b" * 64, failure="it does not run here")
    return SmokeReport("tiny", "1.2.3", "sha256:" + "c" * 64, (result(text), rest), folder)


class Page(HTMLParser):
    """What a page holds: tags, attributes, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = Page(html.page(found(tmp_path)))
    assert page.open == []
    assert not page.tags & {"script", "img", "link", "iframe", "object", "embed"}
    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"logs/linux-amd64/service.log"}
    style = (assets.root() / "smoke" / "report" / "report.css").read_text()
    assert not re.search(r"url\(|@import", style)


def test_everything_is_escaped(tmp_path: Path) -> None:
    text = html.page(found(tmp_path, NASTY))
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "img"}
    assert "onerror" not in page.attributes
    assert "\x1b" not in text
    assert "\x00" not in text


@given(st.text())
def test_junit_is_well_formed_whatever_is_said(text: str) -> None:
    root = ET.fromstring(junit.encode(found(Path(), text)))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("6", "2", "2")
    names = [suite.get("name") for suite in root]
    assert names == ["cdaf linux/amd64", "checks linux/amd64 round 1", "cdaf linux/arm64"]


def test_files_hold_the_same_facts(tmp_path: Path) -> None:
    earlier = tmp_path / "deep" / "er" / "logs" / "linux-amd64" / "cdaf-orders-1a2b-service-1.log"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    report.write(found(tmp_path / "deep" / "er"))
    assert not earlier.exists()
    folder = tmp_path / "deep" / "er"
    told = json.loads((folder / report.JSON).read_text())
    assert [each["state"] for each in told["platforms"]] == ["failed", "not run"]
    assert told["platforms"][0]["checks"][1]["verdict"] == "failed"
    lines = (folder / "logs" / "linux-amd64" / "service.log").read_text().splitlines()
    assert lines[0] == "2026-01-02T03:04:06.678Z fine 0"
    assert len(lines) == 700
    assert "the last 400 of 700 lines" in (folder / report.HTML).read_text()


def test_page_shows_what_containers_said_around_the_failure(tmp_path: Path) -> None:
    logs = {"cdaf-tiny-1-service-1": (Said(3.0, "long before"), Said(4.5, "meanwhile"), Said(9.0, "long after"))}
    told = found(tmp_path)
    platform = told.platforms[0].__class__(
        **{name: getattr(told.platforms[0], name) for name in told.platforms[0].__struct_fields__} | {"logs": logs}
    )
    page = html.page(SmokeReport("tiny", "1", "b", (platform,), tmp_path))
    excerpt = page.partition("What every container said meanwhile")[2].partition("</details>")[0]
    assert "meanwhile" in excerpt
    assert "long before" not in excerpt
    assert "long after" not in excerpt


@given(st.floats(0, 1e5), st.floats(0.1, 1e5))
def test_the_axis_has_few_round_marks(start: float, length: float) -> None:
    by = timeline.Scale(start, start + length)
    marks = timeline.ticks(by)
    assert len(marks) <= 11
    assert all(0 <= by.share(each) <= 100 for each in marks)

"""The report as one page that needs nothing else: no script, no font, no image from elsewhere."""

from collections.abc import Iterator
from string import Template

from cdaf import assets
from cdaf.reports.timeline import escape, render, seconds
from cdaf.testing.outcome import Check, Lane, PlatformResult, Said, SmokeReport

_EMBEDDED = 400  # lines of each log on the page; the files have all of them
_EXCERPT = 30
_WIDEST = 4000  # characters of a line
_BEFORE, _AFTER = 2.0, 0.3  # seconds of log around a failure
_MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}


def page(found: SmokeReport) -> str:
    """The whole page."""
    folder = assets.root() / "smoke" / "report"
    template = Template((folder / "report.html").read_text())
    body = "".join([_header(found), *(_platform(each, number) for number, each in enumerate(found.platforms))])
    return template.substitute(
        title=escape(f"{found.service} {found.version}: {verdict(found)}"),
        style=(folder / "report.css").read_text(),
        body=body + _footer(found),
    )


def verdict(found: SmokeReport) -> str:
    """One word for all platforms: the worst of them."""
    states = {each.state for each in found.platforms}
    return next((each for each in ("failed", "passed", "emulated") if each in states), "not run")


def _header(found: SmokeReport) -> str:
    state = verdict(found)
    return (
        f"<header><div><h1>{escape(found.service)} <small>{escape(found.version)}</small></h1>"
        f'<p class="digest mono">bundle {escape(found.bundle)}</p></div>'
        f'<span class="pill {_css(state)}">{state}</span></header>'
    )


def _footer(found: SmokeReport) -> str:
    whole = "The whole of each log is in the folder beside this page."
    return f"<footer>Smoke test of {escape(found.service)} by cdaf. {whole}</footer>"


def _css(state: str) -> str:
    return state.replace(" ", "-")


def _platform(told: PlatformResult, number: int) -> str:
    prefix = f"p{number}-"
    parts = [_top(told), _failure(told, prefix)]
    if told.state != "not run":
        parts += [_picture(told, prefix), _chips(told), _rounds(told, prefix), _logs(told, prefix)]
    return f'<section class="platform">{"".join(parts)}</section>'


def _top(told: PlatformResult) -> str:
    counts = [f"{sum(each.verdict == kind for each in told.checks)} {kind}" for kind in ("passed", "failed")]
    facts = [f"checks: {', '.join(counts)}"] if told.checks else []
    facts += [seconds(told.seconds), told.began[:19].replace("T", " ") + " UTC"] if told.began else []
    why = f'<p class="caption">{escape(told.failure)}</p>' if told.state == "not run" else ""
    return (
        f'<div class="top"><h2>{escape(told.platform)}</h2><span class="pill {_css(told.state)}">{told.state}</span>'
        f'<span class="facts">{escape(" · ".join(facts))}</span></div>'
        f'<div class="digest mono">{escape(told.digest)}</div>{why}'
    )


def _failure(told: PlatformResult, prefix: str) -> str:
    if told.state != "failed":
        return ""
    failed = next((number for number, each in enumerate(told.checks) if each.verdict == "failed"), None)
    if failed is not None:
        more = f'<p><a href="#{prefix}check-{failed}">what it said, and what the containers said meanwhile</a></p>'
    else:
        ends = [step.end for step in told.steps if step.verdict == "failed"]
        end = ends[0] if ends else told.seconds
        more = f"<p>{escape(told.hint)}</p>"
        more += _around(told, prefix, end - _BEFORE, end + _AFTER, "The last that was said before that")
    return f'<div class="failure"><strong>{escape(told.failure)}</strong>{more}</div>'


def _picture(told: PlatformResult, prefix: str) -> str:
    drawn = render(told, prefix)
    return f"<h3>What happened when</h3>{drawn}" if drawn else ""


def _chips(told: PlatformResult) -> str:
    chips = [
        f'<li class="{step.verdict}" title="{escape(step.message)}">{escape(step.name)}'
        f"<span>{seconds(step.end - step.start)}</span></li>"
        for step in told.steps
    ]
    return f'<ul class="chips">{"".join(chips)}</ul>'


def _rounds(told: PlatformResult, prefix: str) -> str:
    numbers = sorted({each.round for each in told.checks})
    parts = []
    for number in numbers:
        title = "Checks" if numbers == [1] else ("Checks" if number == 1 else "Checks after the restart")
        rows = [_check(told, at, each, prefix) for at, each in enumerate(told.checks) if each.round == number]
        parts.append(f'<h3>{title}</h3><div class="checks">{"".join(rows)}</div>')
    return "".join(parts)


def _check(told: PlatformResult, number: int, check: Check, prefix: str) -> str:
    head = (
        f'<span class="v">{_MARKS[check.verdict]}</span><span class="n">{escape(check.name)}</span>'
        f'<span class="g">{escape(check.group)}</span><span class="t">{seconds(check.seconds)}</span>'
    )
    name = f'id="{prefix}check-{number}" class="check-row {check.verdict}'
    if check.verdict == "passed":
        return f'<div {name} plain">{head}</div>'
    said = [f'<div class="message">{escape(check.message)}</div>'] if check.message else []
    if check.detail:
        said.append(f"<pre>{escape(check.detail)}</pre>")
    if check.verdict == "failed":
        end = check.start + check.seconds
        said.append(_around(told, prefix, check.start - _AFTER, end + _AFTER, "What every container said meanwhile"))
    is_open = " open" if check.verdict == "failed" else ""
    return f'<details {name}"{is_open}><summary>{head}</summary><div class="said">{"".join(said)}</div></details>'


def _around(told: PlatformResult, prefix: str, start: float, end: float, caption: str) -> str:
    """The lines of all logs in a stretch of time, in their order; each leads to its place in its log."""
    lines = [
        (said.at, lane, number, said)
        for lane in told.lanes
        for number, said in enumerate(told.logs.get(lane.name, ()))
        if start <= said.at <= end
    ]
    lines.sort(key=lambda one: one[0])
    if not lines:
        return ""
    rows = [_line(said, lane, number, prefix, told) for _, lane, number, said in lines[-_EXCERPT:]]
    return f'<p class="caption">{caption}</p><div class="log">{"".join(rows)}</div>'


def _line(said: Said, lane: Lane, number: int, prefix: str, told: PlatformResult) -> str:
    first = len(told.logs[lane.name]) - _EMBEDDED
    link = f' href="#{_line_id(prefix, lane, number)}"' if number >= first else ""
    return (
        f'<div><a class="at"{link}>{said.at:.3f}</a><span class="who {lane.role}">{escape(lane.title)}</span>'
        f'<span class="what">{_text(said)}</span></div>'
    )


def _text(said: Said) -> str:
    return escape(said.text if len(said.text) <= _WIDEST else f"{said.text[:_WIDEST]}…")


def _line_id(prefix: str, lane: Lane, number: int) -> str:
    return escape(f"{prefix}{lane.name}-{number}")


def _logs(told: PlatformResult, prefix: str) -> str:
    parts = [_log(told, lane, prefix) for lane in told.lanes if told.logs.get(lane.name)]
    return f"<h3>Logs</h3>{''.join(parts)}" if parts else ""


def _log(told: PlatformResult, lane: Lane, prefix: str) -> str:
    lines = told.logs[lane.name]
    rows = "".join(_rows(lane, lines, prefix))
    left_out = f"the last {_EMBEDDED} of " if len(lines) > _EMBEDDED else ""
    file = f' · <a href="{escape(lane.log)}">{escape(lane.log)}</a>' if lane.log else ""
    count = f"{len(lines)} line{'s' if len(lines) != 1 else ''}"
    return (
        f'<details class="whole" id="{prefix}log-{escape(lane.name)}"><summary>{escape(lane.title)}'
        f'<span>{left_out}{count}</span></summary><div class="log">{rows}</div><p class="caption">'
        f"{escape(lane.name)}{file}</p></details>"
    )


def _rows(lane: Lane, lines: tuple[Said, ...], prefix: str) -> Iterator[str]:
    first = max(0, len(lines) - _EMBEDDED)
    for number, said in enumerate(lines[first:], first):
        yield (
            f'<div id="{_line_id(prefix, lane, number)}"><span class="at">{said.at:.3f}</span>'
            f'<span class="what">{_text(said)}</span></div>'
        )

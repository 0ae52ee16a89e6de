"""The timeline of a report: a lane for each container, as boxes whose place and width are shares of the time."""

import math
from collections.abc import Iterator, Sequence
from html import escape as _escaped

import msgspec

from cdaf.testing import readable
from cdaf.testing.outcome import Check, Lane, Moment, PlatformResult

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_TICKS = 9
_LABEL_FROM = 5.0  # per cent of the width that a step needs to bear its name
_UP = {"sidecar", "service"}


def escape(text: str) -> str:
    """A text for the page: without what drives a terminal, and no markup of its own."""
    return _escaped("".join(each if each in "\t\n" or each.isprintable() else "·" for each in readable.plain(text)))


class Scale(msgspec.Struct, frozen=True):
    """From which to which second the picture goes."""

    start: float
    end: float

    def share(self, at: float) -> float:
        """A time as a share of the width, in per cent."""
        return max(0.0, min(100.0, (at - self.start) / (self.end - self.start) * 100))


def scale(told: PlatformResult) -> Scale:
    """From just before the first container on: loading and pulling would squeeze all that follows."""
    first = min((moment.at for lane in told.lanes for moment in lane.moments), default=0.0)
    end = max([told.seconds, *(moment.at for lane in told.lanes for moment in lane.moments)], default=1.0)
    start = max(0.0, first - (end - first) * 0.02)
    return Scale(start, max(end, start + 0.1))


def render(told: PlatformResult, prefix: str) -> str:
    """The whole picture; `prefix` makes its anchors the page's own."""
    if not told.lanes:
        return ""
    by = scale(told)
    fault = _fault(told)
    rows = [f'<div class="axis">{"".join(_axis(by))}</div>', '<div class="label"><small>steps</small></div>']
    rows.append(f'<div class="track steps">{"".join(_steps(told, by))}</div>')
    for lane in told.lanes:
        checks = [each for each in told.checks if lane.role == "checks" and lane.name.endswith(f"-{each.round}")]
        rows.append(_label(lane, prefix if told.logs.get(lane.name) else None))
        body = "".join([*_grid(by), *_bars(lane, by, told.seconds), *_checks(checks, by, prefix, told)])
        rows.append(f'<div class="track">{body}{"".join(_marks(lane, by))}{_fault_line(fault, by)}</div>')
    return f'<div class="timeline">{"".join(rows)}</div>{_LEGEND}'


_LEGEND = (
    '<div class="legend"><span><b class="bar starting"></b>starting</span>'
    '<span><b class="bar up"></b>up and healthy</span>'
    '<span><b class="bar job"></b>runs to its end</span>'
    '<span><b class="bar check"></b>a check that passed</span>'
    '<span><b class="bar check failed" style="height:.7rem"></b>failed</span></div>'
)


def ticks(by: Scale) -> list[float]:
    """Round seconds, at most nine, within the scale."""
    length = by.end - by.start
    step = next((each for each in _STEPS if length / each <= _TICKS), length / _TICKS)
    first = math.ceil(by.start / step - 1e-9)
    return [number * step for number in range(first, first + _TICKS + 1) if number * step <= by.end]


def seconds(value: float) -> str:
    """A time for people: `0.35 s`, `12.4 s`, `2 min 05 s`."""
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def _axis(by: Scale) -> Iterator[str]:
    for at in ticks(by):
        text = f"{at:g} s" if at < 120 else f"{int(at // 60)}:{int(at % 60):02d}"
        yield f'<span style="left:{by.share(at):.2f}%">{text}</span>'


def _grid(by: Scale) -> Iterator[str]:
    for at in ticks(by):
        yield f'<i style="left:{by.share(at):.2f}%"></i>'


def _box(kind: str, by: Scale, start: float, end: float, title: str, inner: str = "", tag: str = "div") -> str:
    left, right = by.share(start), by.share(end)
    place = f"left:{left:.2f}%;width:{max(0.0, right - left):.2f}%"
    return f'<{tag} class="bar {kind}" style="{place}" title="{escape(title)}">{inner}</{tag.partition(" ")[0]}>'


def _steps(told: PlatformResult, by: Scale) -> Iterator[str]:
    for step in told.steps:
        if step.end <= by.start:
            continue
        wide = by.share(step.end) - by.share(step.start) >= _LABEL_FROM
        title = f"{step.name}: {seconds(step.end - step.start)}"
        yield _box(f"step {step.verdict}", by, step.start, step.end, title, escape(step.name) if wide else "")


def _label(lane: Lane, prefix: str | None) -> str:
    """A lane's title, which leads to its log if it has one."""
    title = escape(lane.title)
    role = "the tested image" if lane.role == "service" else lane.role
    link = "" if prefix is None else f' href="#{prefix}log-{escape(lane.name)}"'
    return f'<div class="label"><a{link} title="{title}">{title}</a><small>{role}</small></div>'


def _bars(lane: Lane, by: Scale, end: float) -> Iterator[str]:
    """From created to started a line, then a box for each life of the container."""
    created = next((each.at for each in lane.moments if each.kind == "created"), None)
    lives = list(_lives(lane.moments, end))
    if created is not None:
        yield _box("made", by, created, lives[0][0] if lives else end, "created")
    for start, ready, stop, last in lives:
        over = last is not None
        bad = " bad" if last is not None and last.bad else ""
        until = f"{last.text} after {seconds(stop - start)}" if last else f"up for {seconds(stop - start)}"
        if lane.role not in _UP:
            yield _box("job" + bad, by, start, stop, until)
            continue
        yield _box("starting" + bad, by, start, ready or stop, f"starting for {seconds((ready or stop) - start)}")
        if ready is not None:
            yield _box("up" + bad + ("" if over else " open"), by, ready, stop, until)


def _lives(moments: Sequence[Moment], end: float) -> Iterator[tuple[float, float | None, float, Moment | None]]:
    """Each life: when it started, when it was ready, when it ended and how."""
    start: float | None = None
    ready: float | None = None
    for each in moments:
        if each.kind == "started":
            start, ready = each.at, None
        elif each.kind in ("healthy", "answer") and start is not None:
            ready = ready if ready is not None else each.at
        elif each.kind == "exited" and start is not None:
            yield start, ready, each.at, each
            start = None
    if start is not None:
        yield start, ready, end, None


def _marks(lane: Lane, by: Scale) -> Iterator[str]:
    for each in lane.moments:
        if each.kind in ("created", "started"):
            continue
        left = by.share(each.at)
        title = f"{each.text}, at {seconds(each.at)}"
        bad = " bad" if each.bad else ""
        yield f'<div class="mark {each.kind}{bad}" style="left:{left:.2f}%" title="{escape(title)}"></div>'
        if each.bad:
            side = " left" if left > 70 else ""
            yield f'<div class="says{side}" style="left:{left:.2f}%">{escape(each.text)}</div>'


def _checks(checks: Sequence[Check], by: Scale, prefix: str, told: PlatformResult) -> Iterator[str]:
    for each in checks:
        number = told.checks.index(each)
        title = f"{each.name}: {each.verdict}, {seconds(each.seconds)}"
        tag = f'a href="#{prefix}check-{number}"'
        yield _box(f"check {each.verdict}", by, each.start, each.start + each.seconds, title, tag=tag)


def _fault(told: PlatformResult) -> float | None:
    """When it went wrong: the first failed check, else the end of the failed step."""
    failed = [each.start + each.seconds for each in told.checks if each.verdict == "failed"]
    ends = [step.end for step in told.steps if step.verdict == "failed"]
    return min(failed or ends, default=None) if told.state == "failed" else None


def _fault_line(at: float | None, by: Scale) -> str:
    return "" if at is None else f'<div class="fault" style="left:{by.share(at):.2f}%"></div>'

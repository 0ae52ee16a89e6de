"""Progress on a terminal: the step that runs, its transfers with bytes and rates, and a line for each step done."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from cdaf.terminal.plain import Nesting, Open


class _Of(ProgressColumn):
    """A column that is shown for one kind of line alone."""

    max_refresh = None

    def __init__(self, kind: str, column: ProgressColumn) -> None:
        super().__init__(Column(no_wrap=True))
        self._kind = kind
        self._column = column

    def render(self, task: Task) -> RenderableType:
        """The inner column, or nothing."""
        return self._column.render(task) if task.fields["kind"] == self._kind else ""


class _Name(TextColumn):
    """What a line is about: on a narrow terminal it is cut, and not the columns beside it."""

    def __init__(self) -> None:
        super().__init__("{task.description}", table_column=Column())  # rich narrows what might be wrapped first

    def render(self, task: Task) -> Text:
        """All of it on one line."""
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


class Live:
    """A live display that is there while a step is open, and leaves one line for each that ended."""

    def __init__(self, stream: IO[str], clean: Callable[[str], str]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._clean = clean
        self._lock = threading.Lock()
        self._nesting = Nesting()
        self._open = 0
        self._display: Progress | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Show one stage while it runs, and behind its name what it is at."""
        step = self._nesting.begin(name)
        try:
            with self._shown(step.line, None, "step") as update:
                yield lambda text: update(description=self._marked(f"{step.line}: {text}"))
        except BaseException:
            self._done("✗", "red", step)
            raise
        else:
            self._done("✓", "green", step)
        finally:
            self._nesting.end(step)

    @contextmanager
    def transfer(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a bar, the bytes and the rate of one transfer."""
        with self._shown(label, total, "transfer") as update:
            yield lambda count: update(advance=count)

    def note(self, text: str) -> None:
        """A line above the display."""
        self._console.print(Text(self._clean(text)))

    def warn(self, text: str) -> None:
        """A yellow line above the display."""
        self._console.print(Text.assemble(("warning: ", "bold yellow"), self._clean(text)))

    @contextmanager
    def _shown(self, label: str, total: int | None, kind: str) -> Iterator[Callable[..., None]]:
        """A line of the display, and what changes it; the first one starts the display, the last one ends it."""
        with self._lock:
            display = self._display = self._display or self._make()
            if not self._open:
                display.start()
            self._open += 1
        task = display.add_task(self._marked(label), total=total, kind=kind)
        try:
            yield partial(display.update, task)
        finally:
            display.remove_task(task)
            with self._lock:
                self._open -= 1
                if not self._open:
                    display.stop()
                    self._display = None

    def _marked(self, text: str) -> str:
        return Text(self._clean(text)).markup

    def _done(self, mark: str, colour: str, step: Open) -> None:
        name, seconds = self._clean(step.name), f" {step.seconds}"
        self._console.print(Text.assemble("  " * step.depth, (mark, colour), f" {name}", (seconds, "dim")))

    def _make(self) -> Progress:
        return Progress(
            _Of("step", SpinnerColumn()),
            _Name(),
            _Of("step", TimeElapsedColumn()),
            _Of("transfer", BarColumn(bar_width=24)),
            _Of("transfer", DownloadColumn()),
            _Of("transfer", TransferSpeedColumn()),
            console=self._console,
            transient=True,
        )

"""Shows progress on the console: a bar on a terminal, plain lines elsewhere, or JSON for scripts.

`Display` and `Events` are context managers whose `show` is a progress callback (stage, done,
total); `words` says each stage for a person.
"""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from mqhost.cli.terminal.printing import clean, json_text, say

_LINES_PER_STAGE = 4  # away from a terminal: a line for each such part of a stage
_EVENTS_PER_STAGE = 100


class Display:
    """Shows the stages of one piece of work on `console`, one after the other.

    `sizes` tells of a stage how many bytes one of what is counted has; then bytes, rate and the
    time that is left are shown too.
    """

    def __init__(
        self, console: Console, words: Mapping[str, str], sizes: Mapping[str, int] | None = None
    ) -> None:
        self.stage = ""  # the last one shown
        self._console = console
        self._words = words
        self._sizes = sizes or {}
        self._part = 0
        self._began = (0.0, 0)  # the stage: when, and what was done already
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _CountColumn(),
            _AmountColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        """Take a progress report."""
        new = stage != self.stage
        self.stage = stage
        if self._console.is_terminal:
            self._draw(new, done, total)
        else:
            self._write(new, done, total)

    def _draw(self, new: bool, done: int, total: int) -> None:
        if new:
            if self._task is not None:
                self._finish(self._task)
            size = self._sizes.get(self.stage, 0)
            self._task = self._bar.add_task(self._word(), total=total or None, size=size)
        self._bar.update(self._task, completed=done, total=total or None)  # type: ignore[arg-type]

    def _finish(self, task: TaskID) -> None:
        """Show a stage that the next one has followed as done."""
        total = next(known.total for known in self._bar.tasks if known.id == task) or 1
        self._bar.update(task, completed=total, total=total)
        self._bar.stop_task(task)

    def _write(self, new: bool, done: int, total: int) -> None:
        part = done * _LINES_PER_STAGE // total if total else 0
        size = self._sizes.get(self.stage, 0)
        if new:
            self._began = (time.monotonic(), done)
            facts = _facts(size, done, total)[:1] if total and done != total else []
            say(self._console, ": ".join([self._word(), *facts]))
        elif part > self._part:
            began, before = self._began
            seconds = time.monotonic() - began
            rate = (done - before) / seconds if seconds > 0 else 0.0
            say(self._console, f"{self._word()}: {', '.join(_facts(size, done, total, rate))}")
        self._part = part

    def _word(self) -> str:
        return clean(self._words.get(self.stage, self.stage))


class Events:
    """Says what happens as JSON on `console`: one object a line, its kind under "event"."""

    def __init__(self, console: Console) -> None:
        self.stage = ""
        self._console = console
        self._last = (-1, -1)

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._console.file.flush()

    def show(self, stage: str, done: int, total: int) -> None:
        """Take a progress report."""
        part = (total, done * _EVENTS_PER_STAGE // total if total else 0)
        if stage != self.stage or part != self._last:
            self.stage, self._last = stage, part
            self.tell("progress", stage=stage, done=done, total=total)

    def tell(self, event: str, **facts: Any) -> None:
        """Print one event."""
        say(self._console, json_text({"event": event} | facts, None))
        self._console.file.flush()


class _CountColumn(MofNCompleteColumn):
    """Shows how many of what is counted are done, but for bytes, which `_AmountColumn` shows."""

    def render(self, task: Task) -> Text:
        return Text("") if task.fields.get("size") == 1 else super().render(task)


class _AmountColumn(ProgressColumn):
    """Shows bytes, rate and the time that is left, of a task whose field `size` is not 0."""

    def render(self, task: Task) -> Text:
        size = task.fields.get("size", 0)
        if not size or task.total is None:
            return Text("")
        return Text(_amount(size, int(task.completed), int(task.total), task.speed or 0.0))


def _facts(size: int, done: int, total: int, rate: float = 0.0) -> list[str]:
    """Return what a line says of a stage: the count, but of bytes, and how many bytes that are."""
    count = [] if size == 1 else [f"{done} of {total}"]
    return count + ([_amount(size, done, total, rate)] if size else [])


def _amount(size: int, done: int, total: int, rate: float) -> str:
    """Format "168 of 680 kB", and with a rate in things per second also that and the time left."""
    text = f"{decimal(done * size)} of {decimal(total * size)}"
    if rate > 0 and done < total:
        left = round((total - done) / rate)
        text += f", {decimal(int(rate * size))}/s, {left // 60}:{left % 60:02} left"
    return text

"""Progress on the console: a bar on a terminal, plain lines elsewhere.

`Display` is a context manager whose `show` is a progress callback (stage, done, total); `words`
says each stage for a person.
"""

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

_LINES_PER_STAGE = 4  # away from a terminal: a line for each such part of a stage


class Display:
    """Shows the stages of one piece of work on `console`, one after the other."""

    def __init__(self, console: Console, words: Mapping[str, str]) -> None:
        self.stage = ""  # the last one shown
        self._console = console
        self._words = words
        self._part = 0
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
            self._task = self._bar.add_task(self._word(), total=total or None)
        self._bar.update(self._task, completed=done, total=total or None)  # type: ignore[arg-type]

    def _finish(self, task: TaskID) -> None:
        """Show a stage that the next one has followed as done."""
        total = next(known.total for known in self._bar.tasks if known.id == task) or 1
        self._bar.update(task, completed=total, total=total)
        self._bar.stop_task(task)

    def _write(self, new: bool, done: int, total: int) -> None:
        part = done * _LINES_PER_STAGE // total if total else 0
        if new:
            count = f": {done} of {total}" if total and done != total else ""
            self._console.print(self._word() + count, markup=False, highlight=False)
        elif part > self._part:
            self._console.print(f"{self._word()}: {done} of {total}", markup=False, highlight=False)
        self._part = part

    def _word(self) -> str:
        return self._words.get(self.stage, self.stage)

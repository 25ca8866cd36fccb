"""Changes the boards that are chosen, each as the command for one board does: shows them, asks, and
says of each what came of it as soon as that is known.

A board that fails stops no other one, unless --max-failed says so.
"""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from mqhost.cli.edge import Edge, json_option
from mqhost.cli.fleet.selection import (
    Chosen,
    NotTried,
    Selection,
    conclude,
    counted,
    parallel_option,
    selecting,
)
from mqhost.cli.manage.boards import presence_listing
from mqhost.cli.many import records, waiting
from mqhost.cli.sleeping import attending, left_out
from mqhost.cli.terminal.printing import json_text, say
from mqhost.cli.terminal.questions import Questions
from mqhost.cli.terminal.tables import show
from mqhost.errors import SilentBoardError, ToolError, UsageError
from mqhost.fleet.many import ask_all, asleep
from mqhost.link.session import Session


@dataclass(frozen=True)
class Done:
    """What came of the change of a board: a sentence for people, and what is told to scripts."""

    text: str
    told: Any

    def record(self) -> Any:
        """Return it for scripts."""
        return self.told


@dataclass(frozen=True)
class Limit:
    """How many boards may fail: a number, or so many percent of those that are tried."""

    number: float
    percent: bool

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Make it of 3, or of 2%; ValueError if it is neither."""
        percent = text.endswith("%")
        number = float(text[:-1]) if percent else int(text)
        if not 0 <= number <= (100 if percent else 1e9):
            raise ValueError(text)
        return cls(number, percent)

    def reached(self, failed: int, tried: int) -> bool:
        """Return whether that many of the boards are too many."""
        return failed > (self.number * tried / 100 if self.percent else self.number)


@dataclass(frozen=True)
class Manner:
    """How the boards are changed."""

    yes: bool
    max_failed: Limit | None
    parallel: int
    as_json: bool


def changing(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose boards and say how to change them; its function gets
    them as `selection` and `manner`.
    """

    @selecting
    @click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
    @click.option(
        "--max-failed",
        type=_LimitType(),
        metavar="N|N%",
        help="Begin with no other board once more have failed.  [never stop]",
    )
    @parallel_option
    @json_option
    @click.pass_obj
    @functools.wraps(function)
    def changed(
        edge: Edge,
        yes: bool,
        max_failed: Limit | None,
        parallel: int,
        as_json: bool,
        **options: Any,
    ) -> None:
        function(edge, manner=Manner(yes, max_failed, parallel, as_json), **options)

    return changed


class _LimitType(click.ParamType):
    """Takes a number of boards, or a percentage."""

    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Limit:
        try:
            return value if isinstance(value, Limit) else Limit.parse(value)
        except ValueError:
            self.fail(f"{value!r:.40} is no number of boards, as 3, or 2%.", param, ctx)


def change_all(
    edge: Edge, selection: Selection, manner: Manner, get: str, change: Callable[[Session], Done]
) -> None:
    """Call `change` for each of the boards that are chosen and online, side by side; with --wait
    for those that are asleep, too, when they wake.

    `get` says what they get, in the words of the question. Raises NotAll if some did not.
    """
    console = Console(stderr=True) if manner.as_json else edge.console
    with selection.choose(edge) as chosen:
        online = [prefix for prefix, board in chosen.boards.items() if board and board.online]
        sleeping = list(asleep(chosen.boards)) if edge.settings.wait else []
        reached = len(online) + len(sleeping)
        known = [board for board in chosen.boards.values() if board]
        absent = [prefix for prefix, board in chosen.boards.items() if board is None]
        if known:
            show(console, presence_listing(known))
        for prefix in absent:
            meant = chosen.likely[prefix]
            say(console, f"{prefix} has never announced itself at this broker.{meant}")
        if not reached:
            raise SilentBoardError(
                f"{counted(len(chosen.boards))}, and none is online: nothing was changed."
                + left_out(chosen.boards)
            )
        when = f", {len(sleeping):,} of them when awake" if sleeping else ""
        say(console, f"{counted(reached)} will get {get}{when}.")
        question = f"Change {'it' if reached == 1 else f'these {reached:,}'}?"
        if not (manner.yes or Questions.at_terminal().agree(question)):
            raise UsageError("Nothing was changed. In a script, --yes says that it is wanted.")
        work = _Work(chosen, manner, change, console, reached)
        try:
            with (
                attending(chosen.connection, chosen.boards) as sleepers,
                waiting(console, "are done") as progress,
            ):
                answers = ask_all(
                    chosen.boards, work, manner.parallel, progress, chosen.likely, sleepers
                )
        except KeyboardInterrupt:
            work.say_what_goes_on()
            raise
    if manner.as_json:
        say(edge.console, json_text(records(answers)))
    conclude(edge.console, chosen.boards, answers, quiet=manner.as_json)


class _Work:
    """Changes one board after the other, from several threads, and prints what came of each."""

    def __init__(
        self,
        chosen: Chosen,
        manner: Manner,
        change: Callable[[Session], Done],
        console: Console,
        total: int,
    ) -> None:
        self._chosen = chosen
        self._limit = manner.max_failed
        self._change = change
        self._console = console
        self._total = total
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._done = self._failed = 0

    def __call__(self, prefix: str) -> Done:
        """Change the board at `prefix`."""
        with self._lock:
            if self._limit and self._limit.reached(self._failed, self._total):
                raise NotTried(f"not tried, since {self._failed:,} had failed")
            self._under_way.add(prefix)
        try:
            settings = self._chosen.edge.settings.for_one(prefix)
            debug, connection = self._chosen.edge.debug, self._chosen.connection
            with Session(settings, debug=debug, connection=connection) as session:
                done = self._change(session)
        except ToolError as error:
            self._tell(prefix, str(error), failed=True)
            raise
        self._tell(prefix, done.text)
        return done

    def _tell(self, prefix: str, text: str, failed: bool = False) -> None:
        """Print what came of a board, whose name is in front of it once."""
        if not text.startswith(prefix):
            text = f"{prefix}: {text}"
        with self._lock:
            self._under_way.discard(prefix)
            self._done += 1
            self._failed += failed
            mark = "failed: " if failed else ""
            say(self._console, f"[{self._done:,}/{self._total:,}] {mark}{text}")

    def say_what_goes_on(self) -> None:
        """Say which boards are left in the middle of it."""
        with self._lock:
            left = ", ".join(sorted(self._under_way))
        if left:
            say(
                self._console,
                f"Under way: {left}. What a board tries it keeps, or goes back from, by itself. "
                "The same command again goes on.",
            )

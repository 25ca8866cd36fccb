"""Drives a rollout in the foreground, and says at the end what became of it."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from mqhost.cli.edge import Edge
from mqhost.cli.fleet.rollout.database import Rollouts
from mqhost.cli.fleet.rollout.watching import Events, Lines, Watcher
from mqhost.cli.fleet.selection import NotAll, counted
from mqhost.cli.terminal.printing import say
from mqhost.errors import SilentBoardError, ToolError
from mqhost.fleet.rollout.drive import Driver
from mqhost.fleet.rollout.engine import resting
from mqhost.fleet.rollout.overview import Overview
from mqhost.fleet.rollout.running import drive_rollout
from mqhost.fleet.rollout.states import (
    ABORTED,
    DROPPED,
    FAILED,
    FINISHED,
    SKIPPED,
    STATES,
    STOPPED,
)

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store

_LOOK_S = 2.0  # between looks at what another process drives


def drive_in_front(
    edge: Edge,
    rollouts: Rollouts,
    store: "Store",
    number: int,
    as_json: bool,
    same_broker: bool = False,
) -> None:
    """Drive until the rollout is over, has stopped, or somebody presses Ctrl-C; say how it goes.
    Raises NotAll if it is not finished, or a board has not got its image.
    """
    watcher: Watcher = Events(edge.console) if as_json else Lines(edge.console)
    stop, news = threading.Event(), threading.Event()

    def end() -> None:
        stop.set()
        news.set()

    watch = _Watch(store, number, watcher, end)
    interrupted = threading.Event()

    def ctrl_c() -> None:
        interrupted.set()
        end()

    try:
        with edge.first_ctrl_c(ctrl_c), watcher:
            drive_rollout(
                store,
                number,
                edge.settings,
                stop=stop,
                news=news,
                after=watch.after,
                report=watcher.progress,
                trouble=lambda error: watcher.trouble(str(error)),
                any_broker=same_broker,
                debug=edge.debug,
            )
        if interrupted.is_set():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        line = rollouts.line("drive", number)
        say(
            _told(edge.console, as_json),
            f"Rollout {number} is in the database, and this process drives it no more. What a "
            f"board is in the middle of it ends by itself. Go on with: {line}",
        )
        raise
    finish(edge.console, rollouts, Overview.of(*store.read(number)), as_json)


class _Watch:
    """Shows what a driver knows, or what another process has stored."""

    def __init__(
        self, store: "Store", number: int, watcher: Watcher, end: Callable[[], None]
    ) -> None:
        self._store = store
        self._number = number
        self._watcher = watcher
        self._end = end
        self._looked = 0.0

    def after(self, driver: Driver) -> None:
        """Look, after a step of `driver`; have it end once nothing more happens by itself."""
        if driver.known and (driver.drives or driver.over):
            self._watcher.waits("")
            rollout, boards = driver.known
        elif time.monotonic() - self._looked < _LOOK_S:
            return
        else:
            self._looked = time.monotonic()
            try:
                rollout, rows = self._store.read(self._number)
                if other := self._store.driver(self._number):
                    self._watcher.waits(other)
            except ToolError as error:
                self._watcher.trouble(str(error))
                return
            boards = {board.prefix: board for board in rows}
        self._watcher.look(rollout, boards)
        if resting(rollout, boards.values()):
            self._end()


def finish(console: Console, rollouts: Rollouts, view: Overview, as_json: bool) -> None:
    """Say which boards failed with what reason, and how many did not; raise NotAll if any."""
    rollout, counts = view.rollout, view.counts
    if as_json:
        Events(console).tell("end", **view.record())
    else:
        for board in view.in_state(FAILED, DROPPED):
            say(console, f"{board.state}: {board.prefix}: {board.reason}")
    facts = ", ".join(f"{counts[state]:,} {state}" for state in STATES if state in counts)
    text = f"Rollout {rollout.id} is {rollout.state}. {counted(len(view.boards))}: {facts}."
    if rollout.state == FINISHED and counts.get(SKIPPED, 0) + counts.get("done", 0) == len(
        view.boards
    ):
        say(_told(console, as_json), text)
        return
    raise NotAll(text + _next(rollouts, view), _exit_code(view))


def _exit_code(view: Overview) -> int:
    """Return 1 if boards failed, or it was aborted; 4 if all that did not get it were away."""
    if view.rollout.state == ABORTED or FAILED in view.counts:
        return ToolError.exit_code
    return SilentBoardError.exit_code


def _next(rollouts: Rollouts, view: Overview) -> str:
    """Say with which commands to go on."""
    rollout = view.rollout
    if rollout.state == ABORTED:
        return ""
    retry = rollouts.line("retry-failed", rollout.id)
    if rollout.state == STOPPED:
        limit = rollouts.line("resume", rollout.id)
        return (
            f" It stopped: {rollout.reason}. Go on with: {retry}, or, if more may fail: {limit} "
            f"--max-failed N; or give up: {rollouts.line('abort', rollout.id)}"
        )
    return f" Another turn for those: {retry}" if view.in_state(FAILED, DROPPED) else ""


def _told(console: Console, as_json: bool) -> Console:
    """Return where to say what is for people."""
    return Console(stderr=True) if as_json else console

"""Tells how a rollout goes while it is driven: a live picture on a terminal, lines elsewhere, or a
JSON object a line; what is new is found by comparing what is stored with what was shown last.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mqhost.cli.fleet.rollout.plan import shut_text
from mqhost.cli.fleet.selection import counted
from mqhost.cli.terminal.printing import clean, json_text, say
from mqhost.cli.update.report import STAGES
from mqhost.fleet.rollout.overview import Overview
from mqhost.fleet.rollout.states import (
    ABSENT,
    DONE,
    DROPPED,
    ENDED,
    FAILED,
    NOT_BEGUN,
    RUNNING,
    SENDING,
    SETTLING,
    Board,
    Rollout,
)

_SHOWN = 8  # boards under way
_BAR = 24  # characters
_REDRAW_S = 0.25
_PARTS = 10  # of a stage, for scripts
Known = Mapping[str, Board]


class Watcher(Protocol):
    """What is told how a rollout goes."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...

    def look(self, rollout: Rollout, boards: Known) -> None:
        """Take what is stored now."""

    def waits(self, driver: str) -> None:
        """Say that another process drives."""

    def progress(self, prefix: str, stage: str, done: int, total: int) -> None:
        """Take how far a push is, from its thread."""

    def trouble(self, text: str) -> None:
        """Say what goes wrong, and is tried again."""


class Lines:
    """Prints a line for what is new; on a terminal it also draws how all is, below them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: tuple[Rollout, Known] | None = None
        self._trouble = ""
        self._driver = ""
        self._shut = ""
        self._drawn = 0.0
        self._under_way: dict[str, str] = {}
        self._lock = threading.Lock()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Lines":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def look(self, rollout: Rollout, boards: Known) -> None:
        self._trouble = ""
        before = self._seen
        self._seen = (rollout, boards)
        if before is None or before[0] != rollout:
            self._tell_rollout(before and before[0], rollout, boards)
        if before is not None and before[1] != boards:
            self._tell_boards(before[1], boards)
        shut = shut_text(rollout, time.time())
        if shut and shut != self._shut:
            say(self._console, shut)
        self._shut = shut
        if self._console.is_terminal and time.monotonic() - self._drawn >= _REDRAW_S:
            self._drawn = time.monotonic()
            self._live.update(self._picture(rollout, boards), refresh=True)

    def waits(self, driver: str) -> None:
        if driver and driver != self._driver:
            say(self._console, f"Driven by {driver}. If that ends, this process takes over.")
        elif not driver and self._driver:
            say(self._console, "This process drives now.")
        self._driver = driver

    def progress(self, prefix: str, stage: str, done: int, total: int) -> None:
        share = f" {done * 100 // total} %" if done < total else ""
        with self._lock:
            self._under_way[prefix] = f"{STAGES.get(stage, stage)}{share}"

    def trouble(self, text: str) -> None:
        if text != self._trouble:
            say(self._console, text)
        self._trouble = text

    def _tell_rollout(self, before: Rollout | None, now: Rollout, boards: Known) -> None:
        if (before is None or before.wave != now.wave) and now.wave != NOT_BEGUN:
            count = sum(board.wave == now.wave for board in boards.values())
            name = now.options.wave_name(now.wave)
            say(self._console, f"{name[0].upper()}{name[1:]}: {counted(count)}.")
        if (before is None and now.state != RUNNING) or (before and before.state != now.state):
            why = f": {now.reason}" if now.reason else ""
            say(self._console, f"Rollout {now.id} is {now.state}{why}.")

    def _tell_boards(self, before: Known, now: Known) -> None:
        ended = sum(board.state in ENDED for board in before.values())
        for prefix, board in now.items():
            if board is before[prefix] or board.state == before[prefix].state:
                continue
            ended += board.ended
            if text := _news(board):
                count = f"[{ended:,}/{len(now):,}] " if board.ended else ""
                say(self._console, f"{count}{text}")

    def _picture(self, rollout: Rollout, boards: Known) -> Group:
        """Draw the waves, and who is under way."""
        view = Overview.of(rollout, boards.values())
        names = {wave.number: rollout.options.wave_name(wave.number) for wave in view.waves}
        width = max(map(len, names.values()), default=0)
        waves = [
            Text(
                f"{'▸' if wave.number == rollout.wave else ' '} {names[wave.number]:{width}} "
                f"{_bar(wave.ended, wave.total)} {_counts(wave.counts)}",
                no_wrap=True,
            )
            for wave in view.waves
        ]
        with self._lock:
            for prefix in set(self._under_way) - {board.prefix for board in view.under_way}:
                del self._under_way[prefix]
            stages = dict(self._under_way)
        lines = [
            Text(clean(f"  {board.prefix}: {_stage(board, stages)}"), no_wrap=True)
            for board in view.under_way[:_SHOWN]
        ]
        more = len(view.under_way) - _SHOWN
        if more > 0:
            lines.append(Text(f"  and {more:,} more"))
        return Group(Text(f"Rollout {rollout.id}, {rollout.state}"), *waves, *lines)


class Events:
    """Prints what is new as JSON objects, one a line, its kind under "event"."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: tuple[Rollout, Known] | None = None
        self._parts: dict[str, tuple[str, int]] = {}
        self._driver = ""
        self._trouble = ""
        self._lock = threading.Lock()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._console.file.flush()

    def look(self, rollout: Rollout, boards: Known) -> None:
        self._trouble = ""
        before, self._seen = self._seen, (rollout, boards)
        if before is None or before[0] != rollout:
            view = Overview.of(rollout, boards.values())
            self.tell("rollout", **view.record(boards=False))
        for prefix, board in boards.items():
            old = before and before[1][prefix]
            if old and board is not old and board.state != old.state:
                self.tell("board", prefix=prefix, state=board.state, reason=board.reason)

    def waits(self, driver: str) -> None:
        if driver != self._driver:
            self._driver = driver
            self.tell("driver", driver=driver or None)

    def progress(self, prefix: str, stage: str, done: int, total: int) -> None:
        part = (stage, done * _PARTS // total if total else 0)
        if self._parts.get(prefix) != part:
            self._parts[prefix] = part
            self.tell("progress", prefix=prefix, stage=stage, done=done, total=total)

    def trouble(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self.tell("trouble", message=text)

    def tell(self, event: str, **facts: Any) -> None:
        """Print one event."""
        with self._lock:
            say(self._console, json_text({"event": event} | facts, None))
            self._console.file.flush()


def _news(board: Board) -> str:
    """Say what is new of a board in a line; "" for what nobody waits for."""
    why = f": {board.reason}" if board.reason else ""
    if board.state == DONE:
        return f"{board.prefix} runs it, confirmed and healthy."
    if board.state in (FAILED, DROPPED):
        return f"{board.state}: {board.prefix}{why}"
    if board.state == ABSENT:
        return f"{board.prefix} is offline, and waited for{why}"
    if board.state == SETTLING:
        return f"{board.prefix} has confirmed it, and has to stay so."
    if board.state == "waiting" and why:
        return f"{board.prefix} is tried again{why}"
    return ""


def _bar(done: int, total: int) -> str:
    """Draw how many of `total` are done."""
    full = done * _BAR // total
    return "━" * full + "╌" * (_BAR - full)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def _stage(board: Board, stages: Mapping[str, str]) -> str:
    if board.state == SENDING:
        return stages.get(board.prefix, "begins")
    return "settles" if board.steady_since is not None else "settles; not healthy yet, or offline"

"""Asks many boards side by side, over one connection: who is there by the broker, then all of them.

Nobody waits for a board that is offline, nor for one that is slow: so many are asked at a time.
Boards that are asleep have their turn when they wake, if somebody has said so.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from paho.mqtt.client import topic_matches_sub

from mqhost.errors import AbsentBoardError, ToolError
from mqhost.fleet.asking import statuses_of
from mqhost.fleet.presence import Presence
from mqhost.fleet.sleepers import Sleepers
from mqhost.link.connection import Connection
from mqhost.link.roster import FEW, Roster, Sighting, depths_of, meant, offline_text
from mqhost.progress import Progress, silent

T = TypeVar("T")
Boards = dict[str, Presence | None]  # by prefix; None: nobody has announced himself there
AT_ONCE = 16


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What the board at `prefix` answered, or the `error` why it did not."""

    prefix: str
    value: T | None = None
    error: ToolError | None = None


def call_roll(connection: Connection, patterns: Sequence[str]) -> Boards:
    """Return the boards whose prefixes match one of `patterns`, by prefix, sorted.

    None stands for a prefix that is given in full, and where nobody has announced himself. Who is
    there was asked then: there are brokers that keep statuses by node.
    """
    named = [pattern for pattern in patterns if not {"+", "#"} & set(pattern.split("/"))]
    wild = [pattern for pattern in patterns if {"+", "#"} & set(pattern.split("/"))]
    few = len(named) <= FEW
    with Roster(connection, patterns if few else [*wild, *depths_of(named)]) as roster:
        seen = roster.settle()
    if not few:
        wanted = set(named)
        seen = {
            prefix: sighting
            for prefix, sighting in seen.items()
            if prefix in wanted or any(topic_matches_sub(one, prefix) for one in wild)
        }
    found: Boards = dict.fromkeys(named)
    if unheard := found.keys() - seen.keys():
        asked = statuses_of(connection, unheard)
        seen |= {prefix: Sighting(status, time.time()) for prefix, status in asked.items()}
    found |= {prefix: Presence.of(prefix, sighting) for prefix, sighting in seen.items()}
    return dict(sorted(found.items()))


def questions(connection: Connection, boards: Mapping[str, Presence | None]) -> dict[str, str]:
    """Return what may have been meant by each prefix in `boards` where nobody has announced
    himself: see roster.meant.
    """
    absent = [prefix for prefix, board in boards.items() if board is None]
    return dict(zip(absent, meant(connection, *absent), strict=True)) if absent else {}


class Offline(AbsentBoardError):
    """A board was left out since it is not there."""


class Asleep(AbsentBoardError):
    """A board was left out since it is asleep, or has not woken when it should have."""


def asleep(boards: Boards) -> dict[str, Presence]:
    """Return those of `boards` that are asleep, by prefix."""
    return {prefix: board for prefix, board in boards.items() if board and board.asleep}


def ask_all(
    boards: Boards,
    ask: Callable[[str], T],
    at_once: int = AT_ONCE,
    progress: Progress = silent,
    likely: Mapping[str, str] = MappingProxyType({}),
    sleepers: Sleepers | None = None,
) -> list[Answer[T]]:
    """Call `ask` with the prefix of each of `boards` that is online, `at_once` at a time, in
    threads; return the answers in the order of `boards`. Who is offline has an answer, too, and so
    has a prefix where nobody is: with what is `likely` (see `questions`). The `sleepers` are
    waited for, and asked when they wake.
    `progress` is told "ask", and how many have answered of those who are asked.

    What is no ToolError is raised here, and so is Ctrl-C: the threads are left alone then. A
    KeyboardInterrupt of `ask` is raised when those that have been asked are done.
    """
    todo: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Answer[T] | BaseException] = queue.SimpleQueue()
    waited = sleepers or ()
    answers: dict[str, Answer[T] | None]
    answers = {
        prefix: None if prefix in waited else _absent(prefix, board, likely.get(prefix, ""))
        for prefix, board in boards.items()
    }
    asked = [prefix for prefix, answer in answers.items() if answer is None]
    if sleepers:
        sleepers.woken = todo.put
        sleepers.dropped = lambda prefix: done.put(KeyboardInterrupt())

    def work() -> None:
        while (prefix := todo.get()) is not None:
            answer = _asked(prefix, ask)
            if sleepers:
                sleepers.release([prefix])
            done.put(answer)
            if isinstance(answer, KeyboardInterrupt):
                return

    with sleepers or nullcontext():
        for prefix in asked:
            if prefix not in waited:
                todo.put(prefix)
        threads = min(at_once, len(asked))
        for _ in range(threads):
            threading.Thread(target=work, daemon=True).start()
        try:
            _gather(answers, len(asked), todo, done, progress, sleepers)
        finally:
            _emptied(todo)
            for _ in range(threads):
                todo.put(None)
    return [answer for answer in answers.values() if answer]


def _gather(
    answers: dict[str, Answer[T] | None],
    total: int,
    todo: "queue.SimpleQueue[str | None]",
    done: "queue.SimpleQueue[Answer[T] | BaseException]",
    progress: Progress,
    sleepers: Sleepers | None,
) -> None:
    """Put the `total` answers that are `done` into `answers`; see ask_all()."""
    interrupt: KeyboardInterrupt | None = None
    left = total
    while left:
        progress("ask", total - left, total)
        try:
            answer = done.get(timeout=sleepers.patience if sleepers else None)
        except queue.Empty:
            answer = None
        for prefix in sleepers.late() if sleepers else ():
            text = "asleep: it has not woken when it should have, and nothing was sent"
            answers[prefix] = Answer(prefix, error=Asleep(text))
            left -= 1
        if answer is None:
            continue
        left -= 1
        if isinstance(answer, KeyboardInterrupt):
            interrupt = answer
            # First the sleepers: who wakes after that is asked no more.
            left -= (sleepers.give_up() if sleepers else 0) + _emptied(todo)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            answers[answer.prefix] = answer
    if interrupt:
        raise interrupt


def worst(answers: Iterable[Answer[T]]) -> int:
    """Return the exit code for all of them: the highest."""
    return max((answer.error.exit_code for answer in answers if answer.error), default=0)


def _emptied(todo: "queue.SimpleQueue[str | None]") -> int:
    """Take all out of `todo`; return how many that were."""
    count = 0
    with suppress(queue.Empty):
        while True:
            todo.get_nowait()
            count += 1
    return count


def _asked(prefix: str, ask: Callable[[str], T]) -> Answer[T] | BaseException:
    try:
        return Answer(prefix, ask(prefix))
    except ToolError as error:
        return Answer(prefix, error=error)
    except BaseException as error:
        return error


def _absent(prefix: str, board: Presence | None, likely: str) -> Answer[T] | None:
    """Return the answer of a board that need not be asked: it is not there."""
    if board is None:
        text = f"has never announced itself at this broker{likely and '.'}{likely}"
        return Answer(prefix, error=Offline(text))
    if not board.online:
        kind = Asleep if board.asleep else Offline
        return Answer(prefix, error=kind(offline_text(board.status)))
    return None

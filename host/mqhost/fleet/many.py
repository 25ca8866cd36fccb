"""Asks many boards side by side, over one connection: who is there by the broker, then all of them.

Nobody waits for a board that is offline, nor for one that is slow: so many are asked at a time.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from paho.mqtt.client import topic_matches_sub

from mqhost.errors import SilentBoardError, ToolError
from mqhost.fleet.asking import statuses_of
from mqhost.fleet.presence import Presence
from mqhost.link.connection import Connection
from mqhost.link.roster import Roster, Sighting, depths_of, meant, offline_text
from mqhost.progress import Progress, silent

T = TypeVar("T")
Boards = dict[str, Presence | None]  # by prefix; None: nobody has announced himself there
AT_ONCE = 16
FEW = 100  # patterns that are listened to one by one: each is work for a broker


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


def ask_all(
    boards: Boards,
    ask: Callable[[str], T],
    at_once: int = AT_ONCE,
    progress: Progress = silent,
    likely: Mapping[str, str] = MappingProxyType({}),
) -> list[Answer[T]]:
    """Call `ask` with the prefix of each of `boards` that is online, `at_once` at a time, in
    threads; return the answers in the order of `boards`. Who is offline has an answer, too, and so
    has a prefix where nobody is: with what is `likely` (see `questions`).
    `progress` is told "ask", and how many have answered of those who are asked.

    What is no ToolError is raised here, and so is Ctrl-C: the threads are left alone then. A
    KeyboardInterrupt of `ask` is raised when those that have been asked are done.
    """
    answers: dict[str, Answer[T] | None]
    answers = {
        prefix: _absent(prefix, board, likely.get(prefix, "")) for prefix, board in boards.items()
    }
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[Answer[T] | BaseException] = queue.SimpleQueue()
    asked = [prefix for prefix, answer in answers.items() if answer is None]
    for prefix in asked:
        todo.put(prefix)

    def work() -> None:
        while True:
            try:
                prefix = todo.get_nowait()
            except queue.Empty:
                return
            answer = _asked(prefix, ask)
            done.put(answer)
            if isinstance(answer, KeyboardInterrupt):
                return

    for _ in range(min(at_once, len(asked))):
        threading.Thread(target=work, daemon=True).start()
    interrupt: KeyboardInterrupt | None = None
    left = len(asked)
    while left:
        progress("ask", len(asked) - left, len(asked))
        answer = done.get()
        left -= 1
        if isinstance(answer, KeyboardInterrupt):
            interrupt = answer
            left -= _emptied(todo)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            answers[answer.prefix] = answer
    if interrupt:
        raise interrupt
    return [answer for answer in answers.values() if answer]


def worst(answers: Iterable[Answer[T]]) -> int:
    """Return the exit code for all of them: the highest."""
    return max((answer.error.exit_code for answer in answers if answer.error), default=0)


def _emptied(todo: "queue.SimpleQueue[str]") -> int:
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
        return Answer(prefix, error=SilentBoardError(text))
    if not board.online:
        return Answer(prefix, error=SilentBoardError(offline_text(board.status)))
    return None

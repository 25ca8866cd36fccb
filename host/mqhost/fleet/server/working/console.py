"""Runs what somebody types at a prompt in a page: text goes in, output comes as the board prints
it, and Ctrl-C ends it. One piece of code runs at a time.
"""

import codecs
import queue
from collections.abc import Callable
from dataclasses import dataclass

from mqhost.errors import ToolError
from mqhost.link.session import Session
from mqhost.repl import typed
from mqhost.repl.names import Names
from mqhost.repl.running import Result, Run, start

_COMPLETING = 5.0  # seconds


@dataclass(frozen=True)
class Ended:
    """How code ended: `ok`, or with the text of what went wrong."""

    ok: bool
    text: str = ""


class Console:
    """A prompt on the board of `session`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = Names(session)
        self._run: Run | None = None
        self._unwanted = False

    def is_whole(self, text: str) -> bool:
        """Return whether `text` can run as it is; else it goes on in another line."""
        return typed.is_whole(text)

    def begin(self) -> None:
        """Have the next run be wanted, until interrupt() is called: also before it has begun."""
        self._unwanted = False

    def run(self, text: str, write: Callable[[str], None]) -> Ended:
        """Run `text`, and `write` what it prints; returns when it has ended. Does not raise what is
        the board's fault: that is how it ended.
        """
        source = typed.as_sent(text)
        if not source:
            return Ended(True)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            self._run = start(self._session, source)
            if self._unwanted:
                self._run.interrupt()
            for part in self._run:
                if told := decoder.decode(part):
                    write(told)
            if rest := decoder.decode(b"", True):
                write(rest)
            return _ended(self._run.result)
        except ToolError as error:
            return Ended(False, str(error))
        finally:
            self._run = None
            self._names.forget()

    def interrupt(self) -> None:
        """End what runs or is about to, from any thread."""
        self._unwanted = True
        if run := self._run:
            run.interrupt()

    def complete(self, line: str) -> list[str]:
        """Return what the dotted names at the end of `line` may be, whole; none if the board does
        not tell, as while code runs.
        """
        module = typed.module_word(line)
        word = typed.dotted_word(line) if module is None else module
        if not word or self._run:
            return []
        told: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._names.ask(word, told.put, module is not None)
        try:
            names = told.get(timeout=_COMPLETING)
        except queue.Empty:
            return []
        before = word[: len(word) - len(word.rpartition(".")[2])]
        return [before + name for name in names]


def _ended(result: Result | None) -> Ended:
    if result is None:
        return Ended(True)
    lines = []
    error = result.interrupted if result.cancelled else result.error
    if error:
        lines.append(error)
    if result.exit is not None:
        lines.append(f"SystemExit: {result.exit}")
    if result.dropped:
        lines.append(f"Output is missing: {result.dropped:,} B, which nobody took in time.")
    return Ended(not error and result.exit is None, "\n".join(lines))

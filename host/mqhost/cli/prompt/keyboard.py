"""Lets the terminal keep what is typed while code runs, and has Ctrl-C interrupt that code.

Nothing that is typed meanwhile is shown or lost: it is there for the next prompt, pasted text with
its marks. At a prompt prompt_toolkit has the terminal, and Ctrl-C is a key as others; while it
takes the terminal, or gives it back, Ctrl-C is a signal, and ours.
"""

import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mqhost.errors import ToolError
from mqhost.repl import Run

PATIENCE = 1.0  # seconds that a Ctrl-C has; another one after them gives the prompt back
_HINT = 2.0  # seconds after which that is said
_PASTE_MARKS, _NO_PASTE_MARKS = b"\x1b[?2004h", b"\x1b[?2004l"


class GivenUp(BaseException):
    """Raised in the main thread: somebody does not want to wait for the board any more."""


class Keyboard:
    """The terminal that we read from, while the `with` block runs; for the main thread.

    `hint` is called, in another thread, when the board has not obeyed Ctrl-C for a while; `clear`
    for a SIGINT when nothing runs, and returns whether there is a prompt that takes it.
    """

    def __init__(self, hint: Callable[[], None], clear: Callable[[], bool]) -> None:
        self._file = sys.stdin.fileno()
        self._hint = hint
        self._clear = clear
        self._run: Run | None = None
        self._ended = threading.Event()
        self._pressed = 0.0
        self._answered = False
        self._early = False  # it came before there was something to interrupt
        self.presses = 0  # of Ctrl-C, for the run

    def __enter__(self) -> "Keyboard":
        self._before = termios.tcgetattr(self._file)
        self._handler = signal.signal(signal.SIGINT, self._on_ctrl_c)
        try:
            termios.tcsetattr(self._file, termios.TCSANOW, _quiet(self._before))
            self._mark_pastes()
        except BaseException:
            signal.signal(signal.SIGINT, self._handler)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._handler)
        with suppress(OSError, termios.error):  # the terminal may be gone
            os.write(self._file, _NO_PASTE_MARKS)
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the terminal to a prompt, which calls `begin_prompt` when it is there."""
        self.begin_prompt()
        try:
            yield
        finally:
            self._mark_pastes()

    def begin_prompt(self) -> None:
        """Take that a prompt begins. A Ctrl-C from before it has nothing to interrupt any more;
        one right behind it is for what the prompt brings: see `interrupting`.
        """
        self._early = False

    def press_early(self) -> None:
        """Take a Ctrl-C that came behind the text which is going to run."""
        self._early = True

    def _mark_pastes(self) -> None:
        """Have the terminal mark what is pasted: each prompt turns that off as it ends."""
        with suppress(OSError):
            os.write(self._file, _PASTE_MARKS)

    @contextmanager
    def interrupting(self, run: Run) -> Iterator[None]:
        """Let Ctrl-C interrupt `run` in the `with` block. Another one, when the board has not
        obeyed for a while, and says nothing or goes on and on, raises GivenUp.
        """
        self.presses = 0
        self._ended.clear()
        self._run = run
        try:
            if self._early:
                self._early = False
                self._on_ctrl_c()
            yield
        finally:
            self._run = None
            self._ended.set()

    def heard(self) -> None:
        """Take that output of the run has come: the board answers, and may have caught Ctrl-C."""
        self._answered = True

    def _on_ctrl_c(self, *_: object) -> None:
        if not self._run:
            self._early = not self._clear()
            return
        now = time.monotonic()
        answers = self._answered and self.presses == 1
        if self.presses and now - self._pressed > PATIENCE and not answers:
            raise GivenUp
        self.presses += 1
        self._pressed = now
        self._answered = False
        # Another thread, as this one may have the locks that it takes.
        threading.Thread(target=self._interrupt, args=(self._run,), daemon=True).start()

    def _interrupt(self, run: Run) -> None:
        with suppress(ToolError):  # then there is no answer: the prompt can be had back
            run.interrupt()
        if not self._ended.wait(_HINT) and self._run is run:
            self._hint()


def _quiet(attributes: list[Any]) -> list[Any]:
    """Return a terminal's attributes changed so: every key is kept as it is typed, unseen; Ctrl-C
    is a signal.
    """
    changed = list(attributes)
    changed[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
    changed[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    changed[3] |= termios.ISIG
    characters = list(changed[6])
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    characters[termios.VSUSP] = characters[termios.VQUIT] = b"\0"
    changed[6] = characters
    return changed

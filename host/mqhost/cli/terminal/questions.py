"""Asks the person at the terminal what no option said; passwords are asked for, never options.

Where nobody can answer (no terminal), a question is a UsageError that names the option or the
environment variable which answers it.
"""

import getpass
import os
import sys
from collections.abc import Callable, Mapping

from mqhost.cli.terminal.printing import clean_lines
from mqhost.errors import FilesThere, UsageError


class Questions:
    """Asks with `ask` and, without showing the answer, `ask_secret`; None: with nobody there."""

    def __init__(
        self,
        ask: Callable[[str], str] | None,
        ask_secret: Callable[[str], str] | None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._ask = ask
        self._ask_secret = ask_secret
        self._environment = os.environ if environment is None else environment

    @classmethod
    def at_terminal(cls) -> "Questions":
        """Make it for the person at this process's terminal, if there is one."""
        if sys.stdin.isatty():
            return cls(_or_stop(input), _or_stop(getpass.getpass))
        return cls(None, None)

    def text(self, question: str, option: str, default: str = "") -> str:
        """Return the answer to `question`; an empty one means `default`.

        Nobody there: UsageError, for `option` should have said it.
        """
        if self._ask is None:
            raise UsageError(f"{question}? Nobody is there to ask; give {option}.")
        hint = f" [{default}]" if default else ""
        while not (answer := self._ask(f"{question}{hint}: ").strip() or default):
            continue
        return answer

    def secret(self, question: str, variable: str) -> str:
        """Return a password, from the environment's `variable` or asked for; it may be empty."""
        if variable in self._environment:
            return self._environment[variable]
        if self._ask_secret is None:
            raise UsageError(
                f"{question}? Nobody is there to ask; set {variable} (empty for none). A password "
                "has no option: command lines are visible to all users of a machine."
            )
        return self._ask_secret(f"{question} (empty for none): ")

    def agree(self, question: str) -> bool:
        """Return whether somebody is there and says yes."""
        if self._ask is None:
            return False
        # It may name the files on a board.
        return self._ask(f"{clean_lines(question)} [y/N] ").strip().lower() in ("y", "yes")


def replacing(write: Callable[[bool], str], force: bool, questions: Questions) -> str:
    """Call `write(force)`; if files are in the way and somebody there gives them up, once more.

    The question comes when `write` has ended, so that no progress bar is drawn over it.
    """
    try:
        return write(force)
    except FilesThere as error:
        if not questions.agree(f"{error.there} Replace them all?"):
            raise
    return write(True)


def _or_stop(ask: Callable[[str], str]) -> Callable[[str], str]:
    """Ask, and take the end of the input (Ctrl-D) for Ctrl-C."""

    def asking(question: str) -> str:
        try:
            return ask(question)
        except EOFError:
            raise KeyboardInterrupt from None

    return asking

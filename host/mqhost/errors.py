"""Defines the errors that this package raises for people to read.

A library function raises one of these with a message that says what, where, and what to do next;
only the edge (cli, tasks.py) catches ToolError, prints it and exits with its `exit_code`.
"""


class ToolError(Exception):
    """Something a person can act on. `exit_code` is what the process ends with."""

    exit_code = 1
    code: int | None = None  # of mqwire.update, where it is about one


class UsageError(ToolError):
    """The request itself is wrong: an unknown board, a missing option, a bad file, one that cannot
    be written.
    """

    exit_code = 2


class FilesThere(UsageError):
    """Raised when the chip has files already, `there`, which would be lost; nothing was written."""

    def __init__(self, there: str) -> None:
        super().__init__(f"{there} They would be lost; --force replaces them. Nothing was written.")
        self.there = there


class BuildError(ToolError):
    """The firmware could not be built."""


class BoardError(ToolError):
    """The board reported an error: a traceback, a failed or rolled back update."""


class UnsupportedError(BoardError):
    """The board's firmware does not know such a command."""


class BrokerError(ToolError):
    """The broker is unreachable or refused us."""

    exit_code = 3


class SilentBoardError(ToolError):
    """The board is silent or offline."""

    exit_code = 4


class AbsentBoardError(SilentBoardError):
    """The board has not been there at all: its broker says so, or knows none of that prefix.

    `fact` is that alone, without what the one who asked can do about it.
    """

    def __init__(self, message: str, fact: str = "") -> None:
        super().__init__(message)
        self.fact = fact or message


class RefusedError(ToolError):
    """The board refused what was asked."""

    exit_code = 5


class ProofError(ToolError):
    """What was to be proven is not: firmware was changed, or nobody who is trusted says whence."""

    exit_code = 5

"""Runs a program in a terminal of a fixed size and keeps what the terminal shows, and when.

    argv → pseudo-terminal → bytes → Screen → lines of styled text

`Screen` knows what the programs here write: text, colours, and the cursor moving up and down for
progress bars and editing lines. What it does not know it raises, rather than to show something
wrong.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.style import Style
from rich.text import Text

from mqhost.errors import ToolError

_TOKEN = re.compile(
    r"\x1b\[(?P<private>\??)(?P<numbers>[\d;]*)(?P<command>[A-Za-z])"
    r"|\x1b\](?P<title>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|(?P<control>[\r\n\b\x07])|(?P<text>[^\x00-\x1f]+)"
)
# The beginning of a sequence whose rest has not come yet.
_CUT = re.compile(r"\x1b(?:\[[\d;?]*|\][^\x07\x1b]*\x1b?)?$")
_KEY = 0.06  # seconds from key to key
Cell = tuple[str, Style]
_BLANK: Cell = (" ", Style.null())


class Screen:
    """A terminal `width` cells wide and as long as it needs to be: nothing scrolls away."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._lines: list[list[Cell]] = [[]]
        self._row = self._column = 0
        self._colours = AnsiDecoder()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def lines(self) -> list[Text]:
        """What is shown, without empty lines at the end."""
        shown = [_text(line) for line in self._lines]
        while shown and not shown[-1].plain.strip():
            shown.pop()
        return shown

    @property
    def before_cursor(self) -> str:
        """What stands before the cursor in its line."""
        cells = self._lines[self._row][: self._column]
        return "".join(character for character, _ in cells).ljust(self._column)

    def feed(self, data: bytes) -> None:
        """Take what a program wrote; the pieces may cut characters and sequences in two."""
        text = self._rest + self._decoder.decode(data)
        cut = _CUT.search(text)
        self._rest = cut[0] if cut else ""
        text = text[: len(text) - len(self._rest)]
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if not token:
                raise ToolError(f"A screen knows no {text[at : at + 12]!r}.")
            at = token.end()
            if token["text"]:
                self._write(token["text"])
            elif token["control"]:
                self._control(token["control"])
            elif token["command"]:
                self._command(token["private"] + token["command"], token["numbers"])

    def _write(self, text: str) -> None:
        for character in text:
            if self._column == self.width:
                self._control("\r")
                self._control("\n")
            line = self._lines[self._row]
            line += [_BLANK] * (self._column + 1 - len(line))
            line[self._column] = (character, self._colours.style)
            self._column += 1

    def _control(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append([])

    def _command(self, command: str, numbers: str) -> None:
        if command == "m":
            self._colours.decode_line(f"\x1b[{numbers}m")
            return
        if command.startswith("?"):  # the cursor's look, the way of pasting: nothing to see
            return
        count = int(numbers.partition(";")[0] or 0)
        line = self._lines[self._row]
        if command == "A":
            self._row = max(0, self._row - max(1, count))
        elif command == "B":
            self._row = min(len(self._lines) - 1, self._row + max(1, count))
        elif command == "C":
            self._column = min(self.width - 1, self._column + max(1, count))
        elif command == "D":
            self._column = max(0, self._column - max(1, count))
        elif command == "G":
            self._column = max(0, count - 1)
        elif command == "K":
            start, end = {0: (self._column, self.width), 1: (0, self._column + 1)}.get(
                count, (0, self.width)
            )
            line[start:end] = [_BLANK] * max(0, min(end, len(line)) - start)
        elif command == "J" and count == 0:
            del line[self._column :], self._lines[self._row + 1 :]
        else:
            raise ToolError(f"A screen knows no command {numbers}{command}.")


def run_in_terminal(
    argv: Sequence[str],
    screen: Screen,
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    typed: Iterable[tuple[str, str]] = (),
    heard: Callable[[float], None] = lambda when: None,
    timeout: float = 120.0,
    rows: int = 40,
) -> int:
    """Run `argv` with `screen` as its terminal, and return its exit code.

    `typed` are pairs: a prompt to wait for, alone in its line, and what is typed, key by key.
    `heard` is called after each piece with the seconds since the start. ToolError after `timeout`
    seconds; then the program is killed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, screen.width, 0, 0))
    began = time.monotonic()
    process = subprocess.Popen(
        argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    prompts, keys = deque(typed), ""
    try:
        while True:
            data = _read(ours, _KEY if keys else began + timeout - time.monotonic())
            if data == b"":
                break
            if data is None:
                if not keys:
                    raise TimeoutError
                os.write(ours, keys[0].encode())
                keys = keys[1:]
                continue
            screen.feed(data)
            heard(time.monotonic() - began)
            if not keys and prompts and screen.before_cursor.strip() == prompts[0][0]:
                keys = prompts.popleft()[1]
        return process.wait(max(0.1, began + timeout - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        shown = "\n".join(line.plain for line in screen.lines)
        raise ToolError(
            f"{' '.join(argv)} did not end within {timeout:g} s. Its screen:\n{shown}"
        ) from None
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int, seconds: float) -> bytes | None:
    """Read what comes next: empty when the last process has left the terminal, None if nothing
    comes for so many seconds."""
    ready, _, _ = select.select([terminal], [], [], max(0.0, seconds))
    if not ready:
        return None
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def _text(line: Sequence[Cell]) -> Text:
    """Put cells of one style together."""
    text = Text()
    for style, cells in groupby(line, key=lambda cell: cell[1]):
        text.append("".join(character for character, _ in cells), style or None)
    text.rstrip()
    return text

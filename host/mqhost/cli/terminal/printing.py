"""Prints what may come from a board, so that it cannot control the terminal.

Sentences and facts go through `say`, which cleans them wherever they go. A board's own output (what
`eval` and `log` print) goes to `board_output`: cleaned on a terminal, elsewhere byte for byte.
"""

import codecs
import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:  # what --help and errors print needs no rich
    from rich.console import Console


_PERHAPS = re.compile(r"[^ -~]")  # what may not be printable: all but letters, as a rule


class Output(Protocol):
    """A file that a board's output is written to."""

    def write(self, data: bytes, /) -> Any: ...

    def flush(self) -> Any: ...


def say(console: "Console", text: str) -> None:
    """Print `text`, cleaned: no markup, no colours, no line breaks of the console's own."""
    console.print(clean_lines(text), markup=False, highlight=False, soft_wrap=True, emoji=False)


def json_text(record: Any, indent: int | None = 2) -> str:
    """Return `record` as JSON in printable ASCII; what JSON does not know becomes its text, and a
    number that is none (a board may say NaN, or 1e999) becomes null.
    """
    try:
        text = json.dumps(record, indent=indent, default=str, allow_nan=False)
    except ValueError:
        loose = json.dumps(record, default=str)
        strict = json.loads(loose, parse_constant=lambda _: None)
        text = json.dumps(strict, indent=indent, allow_nan=False)
    return text.replace("\x7f", "\\u007f")  # the one control character that json leaves as it is


def clean(text: str) -> str:
    """Return `text` without control characters: it may come from a board, for a terminal."""
    return _PERHAPS.sub(lambda found: found[0] if found[0].isprintable() else "�", text)


def clean_lines(text: str) -> str:
    """Clean a text of several lines: newlines and tabs stay."""
    text = text.replace("\r\n", "\n")
    return _PERHAPS.sub(lambda found: found[0] if found[0] in "\n\t" else clean(found[0]), text)


def span(seconds: int) -> str:
    """Say how long `seconds` are, in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def counted(number: int, what: str) -> str:
    """Say how many of `what` there are: 1 file, 2 files."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def board_output(raw: bool = False) -> Output:
    """Return standard output for what a board prints: cleaned on a terminal, unless `raw`."""
    output = sys.stdout.buffer
    return output if raw or not sys.stdout.isatty() else Cleaned(output)


class Cleaned:
    """Writes text to `output`, cleaned; the pieces may cut characters and line ends in two."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)

    def write(self, data: bytes, /) -> None:
        """Write UTF-8; every kind of line end becomes a newline."""
        self._output.write(clean_lines(self._decoder.decode(data)).encode())

    def flush(self) -> None:
        self._output.flush()

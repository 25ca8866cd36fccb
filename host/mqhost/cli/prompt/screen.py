"""Shows what a board prints as it comes, and sentences of the tool on lines of their own."""

import sys
import threading

from mqhost.cli.edge import to_stderr
from mqhost.cli.terminal.printing import Output
from mqhost.repl import Result


class Screen:
    """Writes the board's bytes to `output`, and what the tool says to stderr; from any thread."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.RLock()
        self._in_line = False

    def write(self, data: bytes) -> None:
        """Show output of the board at once."""
        if not data:
            return
        with self._lock:
            self._output.write(data)
            self._output.flush()
            self._in_line = not data.endswith(b"\n")

    def begin_line(self) -> None:
        """Go to the beginning of a line, if a terminal is in the middle of one."""
        with self._lock:
            if self._in_line and sys.stdout.isatty():
                self._output.write(b"\n")
                self._output.flush()
            self._in_line = False

    def note(self, text: str) -> None:
        """Say something: to stderr, on a line of its own."""
        with self._lock:
            self.begin_line()
            to_stderr(text)

    def losses(self, result: Result) -> None:
        """Say what is missing of the output, if something is."""
        if result.dropped:
            self.note(f"{result.dropped:,} B of output were dropped: nobody took them in time.")
        if result.lost:
            self.note(f"{result.lost:,} messages of output were lost on their way.")

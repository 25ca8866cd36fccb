"""Stands in for print() while code from afar makes a step: what it prints goes straight into its
output, and not to the console, whose UART takes 11 KB a second at 115,200 baud.

What gets there without print() (help(), tracebacks, sys.stdout) comes by mqboard.log.Console.
"""

import builtins
import io
import sys
from _thread import get_ident

from micropython import const

_SHORT = const(1000)  # characters of a text that may be copied


class Printer(io.IOBase):
    """A stream for print(). `output` is the mqboard.repl.output.Output that has what the main
    thread prints, or None.
    """

    output = None

    def __init__(self):
        self._thread = get_ident()
        self._print = builtins.print  # MicroPython's own, even while another is in its place
        self._stand_in = self.print

    def lend(self, output):
        """Have print() write to `output`, if it is print() still, and nobody's own."""
        self.output = output
        if print is self._print:
            builtins.print = self._stand_in

    def take_back(self):
        """Have print() be itself. Who has kept a stand-in may go on to use it."""
        self.output = None
        if print is self._stand_in:
            builtins.print = self._print

    def print(self, text="", *more, sep=" ", end="\n", file=None):
        """Print as print() does. With these names each call takes less than with `**options`."""
        output = self.output
        if output and not file and get_ident() == self._thread:
            if not more and isinstance(text, str) and len(text) < _SHORT and end == "\n":
                output.write_line(text.encode())
                return
            file = self
        self._print(text, *more, sep=sep, end=end, file=file or sys.stdout)

    def write(self, data):
        """Take what print() writes to a stream."""
        self.output.write(data)
        return len(data)

"""Makes the traceback of code as its author wants to read it: without the frames that ran it."""

import io
import sys

from micropython import const

_MAX = const(1500)  # characters, of which the end says most
_FRAME = '  File "'
_RUNNERS = ("repl/", "commands/e", "log.py", "modules/runner", "modules/script", "board.py")
_OURS = tuple([_FRAME + "mqboard/" + name for name in _RUNNERS])
_WRAPPED = "__await__"  # the host's name of the function around code that awaits


class _Lines(io.IOBase):
    """Keeps the last lines that are written to it, and the first: a recursion has very many."""

    def __init__(self):
        self.lines = []
        self._size = 0
        self._part = b""

    def write(self, data):
        *whole, self._part = (self._part + bytes(data)).split(b"\n")
        for line in whole:
            self.keep(str(line, "utf-8"))
        return len(data)

    def keep(self, line):
        if line.startswith(_OURS):
            return
        self.lines.append(_moved(line) if line.startswith(_FRAME) else line)
        self._size += len(line) + 1
        while self._size > _MAX and len(self.lines) > 2:
            self._size -= len(self.lines.pop(1)) + 1

    def text(self):
        self.keep(str(self._part, "utf-8"))
        return "\n".join(self.lines).strip()


def trace(error):
    """Return the traceback of `error` as text. Raises MemoryError."""
    lines = _Lines()
    sys.print_exception(error, lines)
    return lines.text()


def _moved(line):
    """Return the line of a frame in a file NAME+2 as it is in NAME: that had two lines in front."""
    name, _, rest = line[len(_FRAME) :].partition('"')
    name, _, lines = name.rpartition("+")
    number, comma, function = rest[len(", line ") :].partition(",")
    try:
        number = str(int(number) - int(lines))
    except ValueError:
        return line
    function = function.replace(_WRAPPED, "<module>")
    return _FRAME + name + '", line ' + number + comma + function

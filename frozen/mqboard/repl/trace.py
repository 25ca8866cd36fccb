"""Makes the traceback of code as its author wants to read it: without the frames that ran it."""

import io
import sys

from micropython import const

_MAX = const(1500)  # bytes, of which the end says most
_WRAPPED = "__await__"  # the host's name of the function around code that awaits
_FRAME = '  File "'
_OURS = tuple([_FRAME + "mqboard/" + name for name in ("repl/", "commands/e", "log.py")])


def trace(error):
    """Return the traceback of `error` as text. Raises MemoryError."""
    text = io.BytesIO()
    sys.print_exception(error, text)
    lines = []
    size = 0
    for line in reversed(str(text.getvalue(), "utf-8").split("\n")):
        if not line.startswith(_OURS):
            size += len(line) + 1
            if size > _MAX and not line.startswith("Traceback"):
                continue
            lines.append(_moved(line) if line.startswith(_FRAME) else line)
    return "\n".join(reversed(lines)).strip()


def _moved(line):
    """Return the line of a frame in a file NAME+2 as it is in NAME: that had two lines in front."""
    name, quote, rest = line[len(_FRAME) :].partition('"')
    name, plus, lines = name.rpartition("+")
    number, comma, function = rest[len(", line ") :].partition(",")
    try:
        number = str(int(number) - int(lines))
    except ValueError:
        return line
    function = function.replace(_WRAPPED, "<module>")
    return _FRAME + name + '", line ' + number + comma + function

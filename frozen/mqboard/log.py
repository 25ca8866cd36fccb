"""Logs by level into a bounded ring of lines in RAM, and sends everything printed to <prefix>/log.

`Console` sits on the console's duplicate (os.dupterm) from the first line of boot on. It cuts what
is printed into lines and keeps the last ones; `run()` publishes them while there is a connection.
While an eval captures output, `capture` gets the bytes instead. Loggers simply print.
"""

import asyncio
import io
import sys

from micropython import const

from mqboard.clock import ticks_ms
from mqwire.config import LOG_LEVELS

_DEBUG = const(0)
_INFO = const(1)
_WARNING = const(2)
_ERROR = const(3)
_LETTERS = "DIWE"
_LINE_MAX = const(240)
_RING_BYTES = const(3072)


class Console(io.IOBase):
    """Collects what is printed: the stream that os.dupterm is given; it never has input."""

    def __init__(self):
        self.capture = None  # called with each piece of output instead of keeping it
        self.dropped = 0  # lines lost because the ring was full
        self._lines = []
        self._size = 0
        self._part = b""
        self._news = asyncio.Event()

    def write(self, data):
        try:
            if self.capture:
                self.capture(data)
            else:
                self._keep(bytes(data))
        except Exception:  # os.dupterm would drop us for good
            self.dropped += 1
        return len(data)

    def readinto(self, data):
        return None

    def ioctl(self, request, argument):
        return 0

    def _keep(self, data):
        pieces = (self._part + data).split(b"\n")
        self._part = pieces.pop()[:_LINE_MAX]
        for piece in pieces:
            line = piece.rstrip(b"\r")[:_LINE_MAX]
            if line:
                self._lines.append(line)
                self._size += len(line)
                self._news.set()
        while self._size > _RING_BYTES:
            self._size -= len(self._lines.pop(0))
            self.dropped += 1

    async def run(self, publish):
        """Publish line after line by `await publish(line)`, which returns whether it could."""
        while True:
            while self._lines:
                if self.dropped:
                    lost = self.dropped
                    if await publish(b"(%d log lines dropped)" % lost):
                        self.dropped -= lost
                line = self._lines[0]
                if not await publish(line):
                    await asyncio.sleep(0.25)
                elif self._lines and self._lines[0] is line:
                    self._lines.pop(0)
                    self._size -= len(line)
            self._news.clear()
            await self._news.wait()


class Logger:
    """Formats only what its level lets through: `log.debug("block %d", number)`."""

    level = _INFO  # shared by all loggers

    def __init__(self, name):
        self._name = name

    def _log(self, level, message, args):
        if level >= Logger.level:
            print(
                "%s %d %s: %s"
                % (
                    _LETTERS[level],
                    ticks_ms(),
                    self._name,
                    message % args if args else message,
                )
            )

    def debug(self, message, *args):
        self._log(_DEBUG, message, args)

    def info(self, message, *args):
        self._log(_INFO, message, args)

    def warning(self, message, *args):
        self._log(_WARNING, message, args)

    def error(self, message, *args):
        self._log(_ERROR, message, args)

    def exception(self, error, message, *args):
        """Log an error line, then the traceback of `error`."""
        self._log(_ERROR, message, args)
        sys.print_exception(error)


def set_level(name):
    """Set the level of all loggers by its name; raise ValueError if there is no such level."""
    if name not in LOG_LEVELS:
        raise ValueError
    Logger.level = LOG_LEVELS.index(name)

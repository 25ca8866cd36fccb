"""Logs by level into a bounded ring of lines in RAM, and sends everything printed to <prefix>/log.

`Console` sits on the console's duplicate (os.dupterm) from the first line of boot on. It cuts what
is printed into lines and keeps them until `run()` could publish them. While an eval runs, what the
main thread prints goes to `capture` instead. Loggers print, too, but never into that: an eval's
reply is what the eval itself printed.

No log call raises, blocks or publishes: it ends in the ring, which one task empties.
"""

import asyncio
import io
import os
import sys
from _thread import get_ident

from micropython import const

from mqwire import log_line
from mqwire.config import LOG_LEVELS

_DEBUG = const(0)
_INFO = const(1)
_WARNING = const(2)
_ERROR = const(3)
_LINE_MAX = const(240)
_RING_BYTES = const(4096)
# Of them, for the first lines of a boot until there is a connection: however much comes after
# them, they tell how it began.
_BOOT_BYTES = const(1024)
_IN_A_ROW = const(8)  # lines that are published without a turn for others
_TELL = const(50)  # lines dropped, in a flood
_LINE_COST = const(32)  # what a line takes beside its text: one-letter lines would fill the heap
_MOST_LOGGERS = const(32)
_CTRL_C = const(3)
_print = print  # code from afar has another one lent, see mqboard.repl.printing


class Console(io.IOBase):
    """Collects what is printed: the stream that os.dupterm is given; it never has input
    but the Ctrl-C that came in the middle of a write."""

    def __init__(self):
        self.capture = None  # called with each piece that the main thread prints, in place of us
        self.on_line = None  # called with each line, as bytes
        self.dropped = 0  # lines lost: the ring or the heap was full
        self._level = _INFO  # of what is printed
        self._thread = get_ident()
        self.lines = []  # those that are not published, in bytes, each behind a byte, its level
        self._size = 0
        self._boot_room = _BOOT_BYTES
        self._pinned = 0  # so many lines, the first of the boot, are not dropped
        self._part = b""
        self._interrupted = False
        self._news = asyncio.Event()

    def write(self, data):
        # Each way out is a `return`, which is no jump: behind the last jump inside of the `try`
        # there is none outside of it, where a Ctrl-C would come out of here.
        try:
            capture = self.capture
            if capture and get_ident() == self._thread:
                capture(data)
                return len(data)
            self._keep(bytes(data))
            return len(data)
        except Exception:  # os.dupterm would drop us for good
            self.dropped += 1
            return len(data)
        except KeyboardInterrupt:
            # So would it for this, and whoever prints would go on. So it comes once more.
            self.interrupt()
            return len(data)

    def interrupt(self):
        """Raise KeyboardInterrupt in the main thread, at its next jump: whoever calls this makes
        none from here on.
        """
        self._interrupted = True
        os.dupterm(self)  # MicroPython takes it away after an error in it
        os.dupterm_notify(self)

    def readinto(self, data):
        if not self._interrupted:
            return None
        self._interrupted = False
        data[0] = _CTRL_C
        return 1

    def ioctl(self, request, argument):
        return 0

    def say(self, level, write, what):
        """Have `write(what)` print lines of `level`, past whoever captures."""
        capture = self.capture
        ours = capture and get_ident() == self._thread
        if ours:
            self.capture = None
        try:
            if self._part:
                self._keep(b"\n")
            self._level = level
            write(what)
        finally:
            self._level = _INFO
            if ours:
                self.capture = capture

    def _keep(self, data):
        pieces = (self._part + data).split(b"\n")
        self._part = pieces.pop()[: _LINE_MAX + 1]
        for piece in pieces:
            line = piece.rstrip(b"\r")
            if len(line) > _LINE_MAX:
                line = line[: _LINE_MAX - 3] + b"..."
            if not line:
                continue
            self.lines.append(bytes((self._level,)) + line)
            self._size += len(line) + _LINE_COST
            if self._size <= self._boot_room:
                self._pinned = len(self.lines)
            while self._size > _RING_BYTES and self.lines:
                self._drop()
            self._news.set()
            if self.on_line:
                self.on_line(line)

    def _drop(self):
        """Drop a line of the lowest level there is, of these the oldest."""
        lowest, found = _ERROR + 1, -1
        for index in range(self._pinned, len(self.lines)):
            level = self.lines[index][0]
            if level < lowest:
                lowest, found = level, index
        self._size -= len(self.lines.pop(found)) - 1 + _LINE_COST
        self.dropped += 1

    async def run(self, publish, up):
        """Publish line after line by `await publish(line)`, which returns whether it could, when
        the event `up` says that there is a connection."""
        while True:
            count = 0
            while self.lines or self.dropped:
                await up.wait()  # before a line is chosen: until then it may be dropped
                if not await self._publish_next(publish):
                    await asyncio.sleep(0.25)
                count += 1
                if count % _IN_A_ROW == 0:
                    # Others have their turn, even if each line published gives rise to another one.
                    await asyncio.sleep(0)
            self._news.clear()
            await self._news.wait()

    async def _publish_next(self, publish):
        # Not in `run`: its frame would keep the line (see mqboard.router).
        lost = self.dropped
        tell = lost >= _TELL or lost and len(self.lines) < _IN_A_ROW
        if tell and not self._pinned or not self.lines:
            line = log_line(_WARNING, Logger.clock.stamp(), "log", "%d lines dropped" % lost)
            sent = await publish(line.encode())
            if sent:
                self.dropped -= lost
        else:
            line = self.lines[0]
            sent = await publish(memoryview(line)[1:])
        if sent:
            self._boot_room = 0
            if self.lines and self.lines[0] is line:
                self._size -= len(self.lines.pop(0)) - 1 + _LINE_COST
                self._pinned = max(0, self._pinned - 1)
            if not self.lines:  # who printed in the middle of our counting may have upset it
                self._size = self._pinned = 0
        return sent


class Logger:
    """Formats only what its level lets through: `log.debug("block %d", number)`."""

    # Shared by all loggers; mqboard.startup sets console and clock before the first line.
    level = _INFO
    levels = {}  # by the logger's name: its own level, or None
    console = None  # the Console
    clock = None  # its stamp() returns the time as it stands in a line

    def __init__(self, name):
        self._name = name
        if len(Logger.levels) < _MOST_LOGGERS:
            Logger.levels.setdefault(name, None)

    def _log(self, level, message, args):
        own = Logger.levels.get(self._name)
        if level < (Logger.level if own is None else own):
            return
        console = Logger.console
        try:
            try:
                text = message % args if args else str(message)
            except Exception as error:
                text = "%s in a log call" % type(error).__name__
                if isinstance(message, str):
                    text += ": " + message
            console.say(level, _print, log_line(level, Logger.clock.stamp(), self._name, text))
        except Exception:  # no memory, or none to recurse on
            console.dropped += 1

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
        try:
            Logger.console.say(_ERROR, sys.print_exception, error)
        except Exception:  # its __str__ may do anything
            Logger.console.dropped += 1


def set_levels(level, levels):
    """Set the level of all loggers, and those that some have of their own: {logger: level}.

    Levels go by their names, mqwire.config.LOG_LEVELS.
    """
    known = Logger.levels
    Logger.level = LOG_LEVELS.index(level)
    for name in known:
        known[name] = None
    for name, level in levels.items():
        if name in known or len(known) < _MOST_LOGGERS:
            known[name] = LOG_LEVELS.index(level)

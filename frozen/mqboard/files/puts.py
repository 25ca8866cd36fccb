"""Has the files that are being put: takes their messages, and brings each to its end in a task.

mqboard.files.incoming has what is done with one file.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.files import room
from mqboard.files.errors import Fault
from mqboard.files.incoming import Put
from mqwire import files as wire

_AT_ONCE = const(4)  # files being put at the same time
_MOST = const(8)  # with those that are refused
_ABANDONED_MS = const(60_000)
_TURN_MS = const(20)  # of writing, after which others have a turn


class Puts:
    """What is being put. `files` is mqboard.files.service's."""

    def __init__(self, files):
        self._files = files
        self._puts = []
        self._running = False
        self._cleared = False
        self._buffer = None
        self._turned = ticks_ms()
        self.wake = asyncio.Event()

    def busy(self):
        """Return whether something is being put."""
        return bool(self._puts)

    def temporaries(self):
        """Return the paths of the unfinished files that somebody goes on with."""
        return [put.temporary for put in self._puts if put.temporary]

    def look(self):
        """Give up what gets no more bytes."""
        for put in self._puts:
            if not put.complete and put.silent_ms() > _ABANDONED_MS:
                put.fail(Fault(wire.ABANDONED, put.path))

    def cancel(self, ident):
        """Give up the put `ident`; return whether there is one."""
        put = self._find(ident)
        if put and not put.complete:
            put.fail(Fault(wire.CANCELLED, put.path))
        return put is not None

    def take(self, ident, tail, sequence, last, data):
        """Take a message; in the MQTT reader."""
        put = self._find(ident)
        if not put:
            if len(self._puts) >= _MOST:
                return True
            put = Put(self, self._files, ident, tail)
            if not self._running:
                self._files.run(self.run)  # first: there may be no memory for the task
                self._running = True
            self._puts.append(put)
            if len(self._puts) > _AT_ONCE:
                put.fail(Fault("EBUSY", text="%d files are being put" % _AT_ONCE))
        put.take(sequence, last, data)
        now = ticks_ms()
        if ticks_diff(now, self._turned) < _TURN_MS:
            return False
        self._turned = now
        return True

    def room_for(self, put, size):
        """Find room for `size` bytes more of `put`; raise Fault."""
        home = self._files.home(put.place)
        busy = self.temporaries()
        if not self._cleared:
            self._cleared = True
            room.clear(home, busy)
        self._files.room(put.place).take(size, busy)

    def other(self, put):
        """Return who else puts the same file in the same place, None if nobody does."""
        for each in self._puts:
            if each is not put and each.temporary == put.temporary and not each.fault:
                return each

    def piece(self):
        """Return a buffer for a piece of a file: not that of commands, which wait while they have
        something in it.
        """
        self._buffer = self._buffer or self._files.new_piece()
        return self._buffer

    def _find(self, ident):
        for put in self._puts:
            if put.request.ident == ident:
                return put

    async def run(self):
        """Say how far each is, and bring them to their ends; return when there are no more."""
        while self._puts:
            idle = True
            for put in list(self._puts):
                try:
                    if await put.step():
                        idle = False
                except Exception as error:  # it could not even be said what came of it
                    put.ended = True
                    put.release(Fault("EIO", put.path))
                    self._files.log.exception(error, "put %s", put.path)
                if put.ended:
                    self._puts.remove(put)
            if idle and self._puts:
                await self.wake.wait()
                self.wake.clear()
            await asyncio.sleep(0)
        self._running = False
        self._buffer = None

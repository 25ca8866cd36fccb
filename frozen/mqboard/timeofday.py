"""Keeps the time of day: what it is, where it comes from, and whether that can be trusted.

The clock begins at the later of the firmware's build time and the last time known here before the
power went, so that certificates from before that can be checked at once; a reset leaves it as it
is. It is trusted once somebody told the time: an NTP server, or an operator. Now and then
mqboard.timesync asks for it, and keeps it.
"""

import time

import machine
from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_FROM_2000 = const(946684800)
_WEEKDAY = const(0)  # the port works it out
# A time that is further from the build is no time, whoever says so.
_SANE_S = const(20 * 365 * 86400)
_DAY_S = const(86400)
_AGAIN_S = const(60)


class Clock:
    """The board's clock. `built` is the firmware's build time, `last` the last time known, both in
    seconds since 1970, and so is the time here.
    """

    pause_max = 3600  # seconds, of the pauses after an NTP server that does not answer

    def __init__(self, built, last=0):
        self.built = built
        self.source = "last known"  # who told the time
        self.trusted = False
        self.due_in = 0  # seconds until mqboard.timesync is to be called
        self.busy = False  # with that
        self.unproved = -1  # connections to the broker that say nothing for the time
        self.gone_back = False  # in this boot, to the last time that was proved
        self.pause = 0  # the last of its pauses after an NTP server that did not answer
        self._uptime = 0  # in milliseconds, when the ticks were `_at`
        self._at = ticks_ms()
        if not built < last < built + _SANE_S:
            last = built
        if self.now() < last:
            self.set(last, "build time" if last == built else "last known", -1)
            self.trusted = False

    def now(self):
        """Return the time."""
        # When time.time() is 0 depends on the port.
        return int(time.time()) + (_FROM_2000 if time.gmtime(0)[0] == 2000 else 0)

    def set(self, now, source, connects):
        """Set the clock, which is trusted from now on; `source` is who told the time.

        `connects` counts the connections to the broker so far: the next one may prove the time.
        Raises ValueError when it cannot be that time.
        """
        if not self.built <= now < self.built + _SANE_S:
            raise ValueError("this firmware was made after that, or decades before")
        if abs(now - self.now()) > _DAY_S:
            self.unproved = connects
        year, month, day, hour, minute, second = time.gmtime(time.time() + now - self.now())[:6]
        machine.RTC().datetime((year, month, day, _WEEKDAY, hour, minute, second, 0))
        self.source = source
        self.trusted = True

    def stamp(self):
        """Return the time for a line of the log (mqwire.log_line)."""
        if self.trusted:
            return "%d-%02d-%02dT%02d:%02d:%02dZ" % time.gmtime()[:6]
        millis = self._uptime + ticks_diff(ticks_ms(), self._at)
        return "%d.%03d" % (millis // 1000, millis % 1000)

    def turn(self, board):
        """Count the seconds, once in each; have done what is due on a network."""
        now = ticks_ms()  # it wraps after some days
        self._uptime += ticks_diff(now, self._at)
        self._at = now
        self.due_in -= 1
        if self.due_in <= 0 and not self.busy and board.link.connected():
            self.due_in = _AGAIN_S  # should there be no memory for it
            from mqboard.timesync import synchronize

            board.supervisor.add("clock", lambda: synchronize(board), vital=False)

"""Holds the Timer class of `machine`. Signatures and errors: the port's machine_timer.c.

A thread in C (boards/sim/alarm) waits until it is time, and has the main thread call back.
"""

import _alarm
import _bus
import micropython
import utime


class Timer:
    """A timer. Its callback runs between two bytecodes of the main thread, like the port's.

    One thing differs: while the interactive prompt waits for a key, callbacks wait too.
    """

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id, **settings):
        if not 0 <= id <= 3:
            raise ValueError("invalid Timer number")
        self._id = id
        self.deinit()
        if settings:
            self.init(**settings)

    def init(
        self,
        *,
        mode=PERIODIC,
        callback=None,
        period=0xFFFFFFFF,
        tick_hz=1000,
        freq=None,
        hard=False,
    ):
        """Start, with a period in ticks or a frequency in Hz."""
        if hard:
            raise ValueError("hard Timers are not implemented")
        self.deinit()
        self._callback = callback
        if callback:
            period = 1_000_000 // freq if freq else period * 1_000_000 // tick_hz
            _alarm.set(self._id, int(period), mode == self.PERIODIC, _call_back, self)

    def deinit(self):
        """Stop."""
        _alarm.clear(self._id)
        self._since = utime.ticks_ms()
        self._callback = None

    def value(self):
        """Milliseconds since the period began."""
        return utime.ticks_diff(utime.ticks_ms(), self._since)


def _call_back(timer):
    """Call back, once nobody uses the bus: to wait for it here would be for ever.

    No jump comes behind the callback: it may have asked for a Ctrl-C, which is not for us.
    """
    if _bus.busy():
        micropython.schedule(_call_back, timer)
        return
    timer._since = utime.ticks_ms()
    callback = timer._callback or _nothing
    callback(timer)


def _nothing(timer):
    pass

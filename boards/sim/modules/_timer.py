"""Holds the Timer class of `machine`. Signatures and errors: the port's machine_timer.c.

A thread waits until it is time, and has the main thread call back.
"""

import _thread

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
        self._generation = 0
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
            period = 1 / freq if freq else period / tick_hz
            _thread.start_new_thread(self._run, (self._generation, mode, period))

    def deinit(self):
        """Stop."""
        self._generation += 1
        self._since = utime.ticks_ms()
        self._callback = None  # the thread, which sleeps on, must not keep it

    def value(self):
        """Milliseconds since the period began."""
        return utime.ticks_diff(utime.ticks_ms(), self._since)

    def _run(self, generation, mode, period):
        while True:
            utime.sleep(period)
            if generation != self._generation:
                return
            self._since = utime.ticks_ms()
            try:
                micropython.schedule(_call_back, self)
            except RuntimeError:
                pass  # the queue is full: this turn is lost, as on the port
            if mode == self.ONE_SHOT:
                return


def _call_back(timer):
    """Call back, once nobody uses the bus: to wait for it here would be for ever.

    No jump comes behind the callback: it may have asked for a Ctrl-C, which is not for us.
    """
    if _bus.busy():
        micropython.schedule(_call_back, timer)
        return
    callback = timer._callback or _nothing
    callback(timer)


def _nothing(timer):
    pass

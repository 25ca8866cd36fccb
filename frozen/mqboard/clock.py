"""Reads milliseconds that wrap, makes random numbers for backoff, and says which of many failures
are worth a line in the log; on both runtimes."""

import random
import time

_TOLD_MAX = 8

try:
    from time import ticks_diff, ticks_ms
except ImportError:  # CPython: the tests of the logic

    def ticks_ms():
        return int(time.monotonic() * 1000)

    def ticks_diff(end, start):
        return end - start


def jitter(limit):
    """Return a random number from 0 to `limit` - 1."""
    return random.randrange(limit) if limit > 0 else 0


def worth_a_line(told, what, times):
    """Return whether to log `what`, which went wrong for the `times`-th time in a row.

    That is each thing once, as far as `told`, the caller's list of them, has room, and all of them
    at the 1st, 2nd, 4th, 8th... time: an outage may last for days.
    """
    news = what not in told and len(told) < _TOLD_MAX
    if news:
        told.append(what)
    return news or not times & (times - 1)

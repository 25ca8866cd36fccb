"""Reads milliseconds that wrap, and makes random numbers for backoff, on both runtimes."""

import random
import time

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

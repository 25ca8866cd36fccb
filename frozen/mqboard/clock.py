"""Reads milliseconds that wrap, waits for others without blaming them for what blocks us, makes
random numbers for backoff, and says which of many failures are worth a line in the log; on both
runtimes."""

import asyncio
import random
import time

_TOLD_MAX = 8
_SLICE_S = 0.5

try:
    from time import ticks_diff, ticks_ms
except ImportError:  # CPython: the tests of the logic

    def ticks_ms():
        return int(time.monotonic() * 1000)

    def ticks_diff(end, start):
        return end - start


async def within(seconds, awaitable):
    """Return what `awaitable` returns, or raise asyncio.TimeoutError, as asyncio.wait_for does.

    But what blocks the event loop, however long, uses up one slice of that time only. Otherwise a
    module that blocks for longer, again and again, would keep us from ever hearing an answer.
    """
    done = asyncio.Event()
    value = failure = None

    async def run():
        nonlocal value, failure
        try:
            value = await awaitable
        except Exception as error:  # raised, the task would die unheard before we are back
            failure = error
        done.set()

    task = asyncio.create_task(run())
    try:
        for _ in range(int(seconds / _SLICE_S) or 1):
            try:
                await asyncio.wait_for(done.wait(), _SLICE_S)
            except asyncio.TimeoutError:
                pass
            if done.is_set():
                break
        else:
            raise asyncio.TimeoutError
    finally:
        if not done.is_set():
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
    if failure:
        raise failure
    return value


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

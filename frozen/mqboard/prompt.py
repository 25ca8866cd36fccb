"""Gives the console MicroPython's prompt: the board takes its leave, and the watchdog waits.

For an hour: a board that somebody forgot there comes back by itself. Ctrl-D, a soft reset, starts
the board again. Loaded when somebody stops the board.
"""

import asyncio
import sys

import machine

from mqboard.health import lastwords

_PATIENCE_MS = 3_600_000


def give():
    """Get everything ready for somebody at the prompt; main.py then ends, and there it is."""
    lastwords.stopped(machine.RTC().memory)
    sys.path.extend(("", "/lib"))
    machine.WDT(timeout=_PATIENCE_MS).feed()


def leave(board):
    """Tell the broker that `board` was stopped, as well as that goes in a moment."""
    try:
        asyncio.run(_leave(board))  # with its other tasks: the loop is the same
    except (KeyboardInterrupt, Exception) as error:
        sys.print_exception(error)


async def _leave(board):
    await board.say_goodbye("stopped at its console")
    await board.client.disconnect()

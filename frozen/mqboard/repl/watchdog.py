"""Stands in for what the first MQBoard's tool calls to reset a board: its firmware's `watchdog`.

Its text, run by `eval`, is log.critical('...') and sys.modules['watchdog'].reset('n'); 'f' is for
safe mode, and 's' for a soft reset.
"""

import asyncio
import sys

from mqboard.log import Logger

_ANSWER_S = 0.5  # until the answer has gone


class _Log(Logger):
    def critical(self, message, *args):
        self.warning(message, *args)


class _Watchdog:
    def __init__(self, board):
        self._board = board

    def reset(self, mode):
        """Reset soon: into normal mode, or with "f" into safe mode."""
        self._board.supervisor.add("reset", lambda: self._reset(mode), vital=False)

    async def _reset(self, mode):
        await asyncio.sleep(_ANSWER_S)
        self._board.blackbox.want("safe" if mode == "f" else "")
        await self._board.restart("reset command")


def lend(board):
    """Give code what that text finds; it is of no use to anybody else."""
    sys.modules["watchdog"] = _Watchdog(board)
    board.names.update(sys=sys, log=_Log("eval"))

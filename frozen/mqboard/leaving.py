"""Takes leave of the broker before a reset on purpose: what it keeps of us is our goodbye.

Nothing may come behind that: no birth of ours, because we heard another board or an old will on our
topic, and not the will. So the board hears its status topic no more, announces nothing, and when
the goodbye is acknowledged it says DISCONNECT, and waits until the broker hangs up: a reset may be
faster than the network. Without that acknowledgement the will is what tells of us.
"""

import asyncio

import mqwire
from mqboard.mqtt import packet

_STOP_S = 1
_LEAVE_S = 1


async def leave(board, reason):
    """Say goodbye for `reason`, as far as that can be done in a moment; there is a reset next."""
    client = board.client
    client.drop(mqwire.status_topic(board.config.prefix))
    await board.supervisor.stop("birth", _STOP_S)
    if not await board.say_goodbye(reason):
        return
    client._log = None  # that it hangs up is no news
    try:
        await asyncio.wait_for(client.writer.send(bytes((packet.DISCONNECT, 0))), _LEAVE_S)
        await asyncio.wait_for(client.down.wait(), _LEAVE_S)
    except (OSError, asyncio.TimeoutError):
        pass

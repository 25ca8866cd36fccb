"""Prints what help() prints, and about the board; loaded for that, as there are no docstrings."""

BOARD = """\
The board, as a module's `async def start(board, settings)` gets it:

board.client      MQTT: await publish(topic, payload, qos=0, retain=False)
                  await subscribe(filter, handler), handler(topic, payload, retained)
                  async with messages(filter) as messages: async for topic, payload, retained in ...
                  events up and down, as in await up.wait()
board.config      prefix: publish below it; zone_s: seconds that local time is ahead of UTC;
                  app: the application's folder
board.log         debug, info, warning, error(format, *arguments), exception(error, format, ...)
board.reach       state: "no network", "no broker", "connected"; await changed()
board.clock       now(), Unix seconds; trusted
board.link        connected(), address(), rssi()
board.identity    board, mcu, version, image, slot, mode, reset_cause, id
board.supervisor  seconds since the start
board.modules     find(name).state(); None where the configuration names none
await board.restart("why")

from mqboard.log import Logger; log = Logger("name")
from mqboard.modules.together import together; await together(first(), second())

Await, never block; end when cancelled. More: docs/modules.md."""


def tell(board, *about):
    """Print what help(*about) prints; of `board`, what a module may use of it."""
    if about and about[0] is board:
        print(BOARD)
    else:
        help(*about)

"""Runs many of our MQTT clients in one program on MicroPython: what spread.py watches.

    micropython herd.py PORT COUNT

It prints a line for each connection that comes up.
"""

import asyncio
import sys

from mqboard import net
from mqboard.mqtt import Client


async def main(port, count):
    """Run them for ever."""
    tasks = []
    for number in range(count):
        client = Client(net.opener(None, "127.0.0.1", port), "herd-" + str(number), rx_size=256)
        client.on_up = lambda: print("up")
        tasks.append(asyncio.create_task(client.run()))
    await asyncio.gather(*tasks)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

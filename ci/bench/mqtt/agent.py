"""Runs our MQTT client while its broker goes and comes: what recover.py watches.

    micropython agent.py PORT NAME CLEAN

It subscribes to in/NAME and prints each message it gets ("in" and the payload); and it publishes
numbers to out/NAME at QoS 1, and prints each that was acknowledged ("acked" and the number). CLEAN
is 1 for no session.
"""

import asyncio
import sys

from mqboard.mqtt import Client
from mqboard.net import opener


async def main(port, name, clean):
    """Do what the module's docstring says."""

    def handler(topic, payload, retained):
        print("in", str(payload, "utf-8"))

    way = opener(None, "127.0.0.1", int(port))
    client = Client(way, name, clean=clean == "1", keepalive=10)
    await client.subscribe("in/" + name, handler, qos=1)
    asyncio.create_task(client.run())
    number = 0
    while True:
        await client.publish("out/" + name, b"%d" % number, qos=1)
        print("acked", number)
        number += 1
        await asyncio.sleep(0.02)


asyncio.run(main(*sys.argv[1:]))

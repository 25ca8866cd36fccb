"""Runs our MQTT client while its broker goes and comes: what recover.py watches.

    micropython agent.py PORT NAME CLEAN [5]

It subscribes to in/NAME and prints each message it gets ("in" and the payload); and it publishes
numbers to out/NAME at QoS 1, and prints each that was acknowledged ("acked" and the number). CLEAN
is 1 for no session. With a 5 it speaks MQTT 5, and nothing else: then its session begins with the
program, and outlives connections for ten minutes.
"""

import asyncio
import sys

from mqboard.net import opener


def make(port, name, clean, version="4"):
    """Return the client."""
    way = opener(None, "127.0.0.1", int(port))
    if version == "5":
        from mqboard.mqtt5 import Client
        from mqboard.mqtt5 import properties as props

        kept = {} if clean == "1" else {props.SESSION_EXPIRY: 600}
        return Client(way, name, properties=kept, insist=True, keepalive=10)
    from mqboard.mqtt import Client

    return Client(way, name, clean=clean == "1", keepalive=10)


async def main(port, name, *options):
    """Do what the module's docstring says."""

    def handler(topic, payload, retained):
        print("in", str(payload, "utf-8"))

    client = make(port, name, *options)
    await client.subscribe("in/" + name, handler, qos=1)
    asyncio.create_task(client.run())
    number = 0
    while True:
        await client.publish("out/" + name, b"%d" % number, qos=1)
        print("acked", number)
        number += 1
        await asyncio.sleep(0.02)


asyncio.run(main(*sys.argv[1:]))

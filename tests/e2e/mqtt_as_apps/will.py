"""Goes on a message: politely, or without a word so that its will is published."""

import asyncio
import sys

from mqtt_as import MQTTClient
from mqtt_local import config

bidden = asyncio.Event()
how = None


def received(topic, msg, retained):
    global how
    how = msg
    bidden.set()


async def main(client):
    await client.connect()
    await client.subscribe("go", 1)
    await client.publish("ready", b"", qos=1)
    await bidden.wait()
    if how == b"politely":
        await client.disconnect()
        sys.exit()
    raise RuntimeError("the application fails")


config["subs_cb"] = received
config["will"] = ("gone", "Goodbye", True, 1)
client = MQTTClient(config)
try:
    asyncio.run(main(client))
finally:
    client.close()

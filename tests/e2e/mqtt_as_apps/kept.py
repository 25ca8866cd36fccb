"""Keeps its session: subscribes once, and has what came while it was away."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


def received(topic, msg, retained):
    print("got", topic.decode(), msg.decode(), retained)


async def main(client):
    await client.connect()
    await client.subscribe("kept", 1)
    print("ready")
    while True:
        await asyncio.sleep(5)


config["subs_cb"] = received
config["clean"] = False
client = MQTTClient(config)
try:
    asyncio.run(main(client))
finally:
    client.close()

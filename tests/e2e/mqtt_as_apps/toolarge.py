"""Publishes what the broker hangs up at, and then something else."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


async def main(client):
    await client.connect()
    await client.publish("data", bytes(5000), qos=1)
    await client.publish("data", "small", qos=1)
    print("refused", client.REFUSED_COUNT)
    await client.disconnect()


client = MQTTClient(config)
client.DEBUG = True
asyncio.run(main(client))
print("done")

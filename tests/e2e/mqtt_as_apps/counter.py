"""Publishes a hundred numbered messages at QoS 1, whatever the link does."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


async def main(client):
    await client.connect()
    for number in range(100):
        await client.publish("number", str(number), qos=1)
        await asyncio.sleep_ms(5)
    print("repeated", client.REPUB_COUNT)
    await client.disconnect()


client = MQTTClient(config)
asyncio.run(main(client))
print("done")

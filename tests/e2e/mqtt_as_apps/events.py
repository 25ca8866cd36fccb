"""Uses events: three tasks, for messages, connections and outages."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


async def messages(client):
    async for topic, msg, retained in client.queue:
        print("got", topic.decode(), msg.decode(), retained)
        if msg == b"slow":
            print("sleeping")
            await client.publish("asleep", "", qos=1)
            await asyncio.sleep(0.5)
            print("discards", client.queue.discards)


async def up(client):
    while True:
        await client.up.wait()
        client.up.clear()
        await client.subscribe("order", 1)
        print("up")


async def down(client):
    while True:
        await client.down.wait()
        client.down.clear()
        print("down")


async def main(client):
    await client.connect(quick=True)
    for task in (up, down, messages):
        asyncio.create_task(task(client))
    while True:
        await asyncio.sleep(5)


config["queue_len"] = 2
MQTTClient.DEBUG = True
client = MQTTClient(config)
try:
    asyncio.run(main(client))
finally:
    client.close()

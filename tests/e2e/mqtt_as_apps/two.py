"""Two clients in one process: one asks, the other answers."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


async def ask(client):
    await client.connect()
    await client.subscribe("answer", 1)
    await client.publish("question", "6 * 7", qos=1)
    async for _, msg, _ in client.queue:
        print("answer", msg.decode())
        await client.disconnect()
        return


async def answer(client):
    await client.connect()
    await client.subscribe("question", 1)
    ready.set()
    async for _, msg, _ in client.queue:
        await client.publish("answer", str(eval(msg)), qos=1)
        await client.disconnect()
        return


async def main():
    task = asyncio.create_task(answer(MQTTClient(config)))
    await ready.wait()
    other = config.copy()
    other["client_id"] = b"second"
    await ask(MQTTClient(other))
    await task
    print("done")


ready = asyncio.Event()
config["queue_len"] = 1
asyncio.run(main())

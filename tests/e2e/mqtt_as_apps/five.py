"""Uses MQTT 5: echoes what comes, with its properties; publishes by an alias of its own."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


def with_numbers(properties):
    return {int(key): value for key, value in (properties or {}).items()}


async def messages(client):
    async for topic, msg, retained, properties in client.queue:
        print("got", topic.decode(), msg.decode(), retained)
        print("properties", properties and sorted(properties.items()))
        if topic == b"order":
            properties.pop(0x0B)  # it is the broker's, for us
            await client.publish("echo", msg, qos=1, properties=properties)
        if topic == b"alias":
            for place in (msg.decode(), ""):
                await client.publish(place, b"by alias", False, 1, {0x23: 3, 0x03: "x"})


async def up(client):
    while True:
        await client.up.wait()
        client.up.clear()
        await client.subscribe("order", 1, properties={0x0B: 5})
        await client.subscribe("alias", 1)
        print("up", client.topic_alias_maximum > 0)


async def down(client):
    while True:
        await client.down.wait()
        client.down.clear()
        print("down")


async def main(client):
    await client.connect(quick=True)
    await asyncio.gather(up(client), down(client), messages(client))


config["queue_len"] = 4
config["mqttv5"] = True
config["mqttv5_con_props"] = with_numbers(config["mqttv5_con_props"])
client = MQTTClient(config)
try:
    asyncio.run(main(client))
finally:
    client.close()

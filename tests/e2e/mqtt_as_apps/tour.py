"""Walks through the calls of the API, and shows what they give."""

import asyncio

import mqtt_as
from mqtt_as import MQTTClient
from mqtt_local import config

got = []
news = asyncio.Event()


def received(topic, msg, retained):
    got.append((topic, msg, retained))
    news.set()


async def receive():
    while not got:
        news.clear()
        await news.wait()
    return got.pop(0)


async def main(client):
    print("connected", client.isconnected())
    await client.connect()
    print("connected", client.isconnected())
    await client.subscribe(b"tour/#", 1)
    await client.subscribe("tour/+", 1)  # overlaps
    await client.publish(b"tour/bytes", bytearray(b"\x00\xff"), False, 0)
    print(await receive())
    await client.publish("tour/text", "gr\u00fc\u00df", qos=1)
    print(await receive())
    await client.subscribe("tour/#", 2)
    await client.publish("tour/twice", "two", qos=2)
    print(await receive())
    await client.publish("tour/large", b"x" * 10_000 + b"y", qos=1)
    topic, msg, _ = await receive()
    print(topic, len(msg), msg[-2:], type(msg))
    mqtt_as.MSG_BYTES = False
    await client.publish("tour/view", "view", qos=1)
    print(type((await receive())[1]))
    mqtt_as.MSG_BYTES = True
    await client.unsubscribe("tour/+")
    await client.unsubscribe("tour/#")
    await client.unsubscribe("tour/never")
    await client.publish("tour/unheard", "", qos=1)
    await client.subscribe("end", 1)
    await client.publish("end", "", qos=1)
    print(await receive())
    print("broker up", await client.broker_up())
    await asyncio.sleep(1.1)
    print("broker up", await client.broker_up())
    print("wan", await client.wan_ok(server="127.0.0.1", port=client.port))
    await client.disconnect()
    print("connected", client.isconnected(), await client.broker_up(), await client.wan_ok())
    await client.connect()
    await client.publish("again", "", qos=1, properties={1: 2})
    print("connected", client.isconnected())
    try:
        await asyncio.wait_for(client.connect(), 5)
    except Exception as error:
        print(error)
    client.close()
    print("end", mqtt_as.VERSION)


config["subs_cb"] = received
asyncio.run(main(MQTTClient(config)))

"""One client, ended in every way and connected again; publications that are given up."""

import asyncio

from mqtt_as import MQTTClient
from mqtt_local import config


def received(topic, msg, retained):
    print("got", msg.decode())
    if msg == b"close":
        client.close()


async def connected(client):
    await client.subscribe("lives", 1)


async def network_changed(state):
    print("network", state)


async def wait_closed():
    while client.isconnected():
        await asyncio.sleep_ms(10)


async def say(msg):
    await client.subscribe("lives", 1)
    await client.publish("lives", msg, qos=1)
    await asyncio.sleep_ms(50)


async def first():
    await client.connect()
    await say("one")
    await client.disconnect()
    try:
        await asyncio.wait_for(client.publish("lives", "too late", qos=1), 0.1)
    except asyncio.TimeoutError:  # noqa: UP041 (MicroPython has no other)
        print("given up")
    await client.connect()
    await say("two")
    await client.connect()  # while there is a connection
    await say("three")
    client.close()
    await client.connect()
    await say("four")
    await client.publish("lives", "close", qos=0)
    await wait_closed()
    await asyncio.sleep(1)
    print("connected", client.isconnected())
    await client.connect()
    await say("five")


async def second():
    await client.connect()
    await say("six")


config["subs_cb"] = received
config["connect_coro"] = connected
config["wifi_coro"] = network_changed
client = MQTTClient(config)
for main in (first, second):
    asyncio.run(main())
    client.close()
    asyncio.new_event_loop()

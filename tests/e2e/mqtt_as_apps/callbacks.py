"""Uses callbacks: sends a counter, shows what comes in and the state of the link."""

import uasyncio as asyncio
from mqtt_as import RP2, MQTTClient
from mqtt_local import config


def received(topic, msg, retained):
    print("got", topic, msg, retained)


async def network_changed(state):
    print("network", state)
    await asyncio.sleep(0.01)


async def connected(client):
    await client.subscribe("order/#", 1)
    print("subscribed")


async def main(client):
    await client.connect()
    number = 0
    while True:
        await client.publish("count", str(number), qos=1)
        number += 1
        await asyncio.sleep_ms(20)


config["subs_cb"] = received
config["wifi_coro"] = network_changed
config["connect_coro"] = connected
assert not RP2
client = MQTTClient(config)
try:
    asyncio.run(main(client))
finally:
    client.close()
    asyncio.new_event_loop()

"""Connects to a broker by its name, on a Wi-Fi that tells of a name server on another port."""

import asyncio
import sys

NAMES = "127.0.0.1"


class WLAN:
    def __init__(self, interface):
        pass

    def isconnected(self):
        return True

    def ifconfig(self):
        return ("10.0.0.2", "255.0.0.0", "10.0.0.1", NAMES)


class Network:
    STA_IF = 0
    WLAN = WLAN


sys.modules["network"] = Network

from mqtt_as import MQTTClient  # noqa: E402
from mqtt_local import config  # noqa: E402

from mqboard.net import dns  # noqa: E402

port = config.pop("names_port")
config["server"] = "broker.example"
resolve = dns.resolve
dns.resolve = lambda name, servers: resolve(name, servers, port)


async def tick():
    while True:
        print("tick")
        await asyncio.sleep_ms(50)


async def main(client):
    ticking = asyncio.create_task(tick())
    await client.connect()
    await client.publish("named", "here", qos=1)
    ticking.cancel()
    print("internet", await client.wan_ok(server="names.example", port=port))
    await client.disconnect()


asyncio.run(main(MQTTClient(config)))
print("done")

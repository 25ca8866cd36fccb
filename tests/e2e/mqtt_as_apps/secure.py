"""TLS: each configuration that comes on stdin, tried once."""

import asyncio
import json
import sys

import tls
from mqtt_as import MQTTClient, config


def read(path):
    with open(path, "rb") as file:
        return file.read()


async def attempt(name, changes):
    settings = config.copy()
    settings.update(changes)
    parameters = settings["ssl_params"]
    for key in ("cadata", "cert", "key"):
        if key in parameters:
            parameters[key] = read(parameters[key])
    if settings["ssl"] == "context":
        settings["ssl"] = context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(parameters.pop("cadata"))
    client = MQTTClient(settings)
    try:
        await client.connect()
        await client.publish("secure", name, qos=1)
        await client.disconnect()
        print(name, "connected")
    except OSError as error:
        print(name, error)


for name, changes in json.load(sys.stdin).items():
    asyncio.run(attempt(name, changes))
print("done")

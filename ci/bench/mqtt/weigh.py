"""Prints the heap in use with asyncio running, and then with our client connected and subscribed.

    micropython weigh.py PORT VERSION

VERSION is 4 or 5. What it prints are two numbers of bytes on one line.
"""

import asyncio
import gc
import sys


def used():
    """Return the bytes in use, without rubbish."""
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


async def main(port, version):
    """Do what the module's docstring says."""
    await asyncio.sleep(0)
    before = used()
    from mqboard.net import opener

    if version == "5":
        from mqboard.mqtt5 import Client
    else:
        from mqboard.mqtt import Client
    client = Client(opener(None, "127.0.0.1", int(port)), "weighed")
    task = asyncio.create_task(client.run())
    await client.subscribe("in", lambda *message: None)
    await client.publish("out", b"", qos=1)
    await asyncio.sleep(0.1)
    print(before, used())
    task.cancel()


asyncio.run(main(*sys.argv[1:]))

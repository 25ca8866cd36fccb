"""Opens connections with a pre-shared key and with certificates in turn, on MicroPython:

    micropython connect.py PORT IDENTITY KEY PORT CA COUNT KIND [KIND]

The second port is that with certificates; KIND is `key` or `certificate`. It prints a JSON list: of
each kind the bytes of heap that are in use more than at the start while there is a connection, and
the microseconds that this took, its context included.
"""

import asyncio
import gc
import json
import sys
import time

from mqboard import net
from mqboard.net import psk, tls

keys, identity, key, certificates, ca, count = sys.argv[1:7]


def with_key():
    """Return an opener that has no context yet."""
    return psk.opener(None, "localhost", int(keys), identity, key)


def with_certificate():
    """Return another one."""
    return net.opener(None, "localhost", int(certificates), lambda: tls.make_context(ca))


async def connect(opens, start, heaps, times):
    """Connect once, and note what that took."""
    gc.collect()
    began = time.ticks_us()
    stream = await opens()
    times.append(time.ticks_diff(time.ticks_us(), began))
    gc.collect()
    heaps.append(gc.mem_alloc() - start)
    stream.close()


async def main():
    """Let them take turns."""
    kinds = {"key": with_key, "certificate": with_certificate}
    found = [(kinds[kind], [], []) for kind in sys.argv[7:]]
    gc.collect()
    start = gc.mem_alloc()
    for _ in range(int(count)):
        for make, heaps, times in found:
            await connect(make(), start, heaps, times)
    print(json.dumps([lists for _, *lists in found]))


asyncio.run(main())

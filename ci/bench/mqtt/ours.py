"""Runs our MQTT client at the same work as raw.py, and tells what it takes of the heap.

    micropython ours.py PORT CA KIND SIZE COUNT

KIND is one of raw.py's, or

    alloc0, alloc1   prints the bytes allocated per message, for the last 100 of COUNT received
    heap             prints the bytes of heap with asyncio running, and then connected, too
"""

import asyncio
import gc
import sys

_TOPIC = "bench/board/data"
_WINDOW = 8
_ALLOCATING = 100


async def start(port, ca):
    """Return a client that is connected to the peer, its task started."""
    from mqboard import net
    from mqboard.mqtt import Client

    def make_context():
        from mqboard.net.tls import make_context

        return make_context(ca)

    secure = {} if ca == "-" else {"make_context": make_context, "server_hostname": "localhost"}
    client = Client(net.opener(None, "127.0.0.1", port, **secure), "our")
    asyncio.create_task(client.run())
    await client.up.wait()
    return client


async def receive(client, qos, count):
    """Take `count` messages."""
    done = asyncio.Event()
    got = 0

    def handler(topic, payload, retained):
        nonlocal got
        got += 1
        if got == count:
            if not qos:
                client.publish_now("done", b"")
            done.set()

    await client.subscribe(_TOPIC, handler, qos=qos)
    print("ready")
    await done.wait()


async def count_allocated(client, qos, count):
    """Print the bytes allocated per message, for the last of `count`."""
    done = asyncio.Event()
    got = before = 0

    def handler(topic, payload, retained):
        nonlocal got, before
        got += 1
        if got == count - _ALLOCATING:
            before = gc.mem_alloc()
        elif got == count:
            before = gc.mem_alloc() - before
            done.set()

    await client.subscribe(_TOPIC, handler, qos=qos)
    gc.collect()
    gc.disable()
    print("ready")
    await done.wait()
    gc.enable()
    print(before / _ALLOCATING)


async def measure_heap(port, ca):
    """Print how much is allocated, before there is anything of ours and after connecting.

    asyncio loads its parts when they are first named: those that the client uses are its own, too.
    """
    asyncio.Event, asyncio.wait_for  # noqa: B018
    await asyncio.sleep(0.01)
    gc.collect()
    before = gc.mem_alloc()
    client = await start(port, ca)
    await client.subscribe(_TOPIC, print)
    print("ready")
    gc.collect()
    print(before, gc.mem_alloc())


async def publish(client, kind, size, count):
    """Send `count` messages of `size` bytes."""
    payload = bytes(size)
    print("ready")
    if kind == "window8":
        async with client.window(_WINDOW) as window:
            for _ in range(count):
                await window.publish(_TOPIC, payload)
        return
    qos = 0 if kind == "pub0" else 1
    for _ in range(count):
        await client.publish(_TOPIC, payload, qos)


async def main(port, ca, kind, size, count):
    """Do what the module's docstring says."""
    port, size, count = int(port), int(size), int(count)
    if kind == "heap":
        await measure_heap(port, ca)
    else:
        client = await start(port, ca)
        if kind[:2] == "rx":
            await receive(client, int(kind[2]), count)
        elif kind[:5] == "alloc":
            await count_allocated(client, int(kind[5]), count)
        else:
            await publish(client, kind, size, count)
        print("done")
    # The other side closes first; until then the client goes on.
    await asyncio.StreamReader(sys.stdin).read(1)


asyncio.run(main(*sys.argv[1:]))

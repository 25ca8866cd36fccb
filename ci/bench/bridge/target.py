"""Is the target of a bridge: sends numbers at QoS 1, and counts those that come.

Arguments: the terminal that is its UART, and how many messages go each way. It prints "ready" when
it listens, and at the end of all one JSON object.
"""

import asyncio
import gc
import json
import sys
import time

import mqlink

_AT_ONCE = 8
_TELL_EVERY = 100
_PATIENCE_S = 600
_COLLECT_EVERY = 16384  # bytes, or what is kept lies all over the heap and leaves no large hole


async def give_up(finished):
    """Tell what there is when the rest does not come."""
    await asyncio.sleep(_PATIENCE_S)
    finished.set()


async def main():
    gc.threshold(_COLLECT_EVERY)
    count = int(sys.argv[2])
    came = bytearray(count)
    told = {"doubled": 0}
    left = count
    finished = asyncio.Event()
    link = mqlink.Link(open(sys.argv[1], "r+b", buffering=0), clean=True)  # noqa: SIM115

    def take(topic, payload, retained):
        nonlocal left
        number = int(payload)
        told["doubled"] += came[number]
        left -= not came[number]
        came[number] = 1
        if not left:
            finished.set()

    async def tell():
        for number in range(_TELL_EVERY, count + 1, _TELL_EVERY):
            while count - left < number:
                await asyncio.sleep(0.02)
            await link.publish("~/taken", b"%d" % number, 1)

    numbers = iter(range(count))

    async def send():
        for number in numbers:
            await link.publish("~/up", b"%d" % number, 1)

    running = asyncio.create_task(link.run())
    await link.connected.wait()
    await link.subscribe("~/down", take)
    print("ready")
    gc.collect()
    told["heap_bytes"] = gc.mem_alloc()
    begun = time.ticks_ms()
    telling = asyncio.create_task(tell())
    await asyncio.gather(*[send() for _ in range(_AT_ONCE)])
    late = asyncio.create_task(give_up(finished))
    await finished.wait()
    late.cancel()
    telling.cancel()
    told["ms"] = time.ticks_diff(time.ticks_ms(), begun)
    await asyncio.sleep(1)  # what is doubled may come late
    told.update({"lost": left, "repeated": link.repeated, "errors": link.errors})
    print(json.dumps(told))
    running.cancel()


asyncio.run(main())

"""Drives mqlink.py on MicroPython, as the target of a bridge: a test says what it does.

Arguments: the terminal that is its UART, then options of mqlink.Link as JSON. Each line on stdin is
JSON, [number, code], as with agent.py; what happens is printed as JSON, one list a line.
"""

import asyncio
import json
import sys

import mqlink

link = None


def say(*words):
    """Tell the test."""
    print(json.dumps(words))


def show(topic, payload, retained):
    """Tell what the handler is given."""
    say("got", topic, str(payload, "utf-8"), retained)


seen = []  # the numbers that came
slow_s = 0


async def count(topic, payload, retained):
    """Note a number that came, after `slow_s`."""
    if slow_s:
        await asyncio.sleep(slow_s)
    seen.append(int(payload))


async def publish_numbers(topic, first, last, at_once=8):
    """Publish the numbers from `first` to `last` - 1 at QoS 1."""
    numbers = iter(range(first, last))

    async def work():
        for number in numbers:
            await link.publish(topic, b"%d" % number, 1)

    await asyncio.gather(*[work() for _ in range(at_once)])


async def perform(number, code):
    """Run the body of a coroutine and tell how it ended."""
    try:
        body = "async def _body():\n " + code.replace("\n", "\n ") + "\n"
        exec(body, globals())
        say("returned", number, await globals()["_body"]())
    except Exception as error:
        sys.print_exception(error)
        say("raised", number, type(error).__name__, str(error))


async def listen():
    """Do what stdin says until it ends."""
    lines = asyncio.StreamReader(sys.stdin)
    while True:
        line = await lines.readline()
        if not line:
            return
        number, code = json.loads(line)
        asyncio.create_task(perform(number, code))


class RamDisk:
    """A block device in memory."""

    def __init__(self, blocks):
        self._data = bytearray(blocks * 512)

    def readblocks(self, number, buffer, offset=0):
        start = number * 512 + offset
        buffer[:] = memoryview(self._data)[start : start + len(buffer)]

    def writeblocks(self, number, buffer, offset=0):
        start = number * 512 + offset
        self._data[start : start + len(buffer)] = buffer

    def ioctl(self, command, argument):
        return {4: len(self._data) // 512, 5: 512}.get(command, 0)


def manage(blocks=160):
    """Return the work that has the target managed, with a LittleFS of its own."""
    import mqmanage
    import vfs

    disk = RamDisk(blocks)
    vfs.umount("/")
    vfs.VfsLfs2.mkfs(disk)
    vfs.mount(disk, "/")
    return mqmanage.Manager(link).run()


async def main():
    global link
    options = json.loads(sys.argv[2])
    if options.get("will"):
        topic, payload, qos, retain = options["will"]
        options["will"] = (topic, payload.encode(), qos, retain)
    uart = open(sys.argv[1], "r+b", buffering=0)  # noqa: SIM115
    link = mqlink.Link(uart, on_state=lambda state: say("state", state), **options)
    say("ready")
    await listen()


asyncio.run(main())

"""Opens streams with mqboard.net on MicroPython and says what came of it.

    micropython tls_probe.py < JOB

JOB is JSON: `host` and `port`; `before`, a port of the host that is to be tried first; `context`,
arguments for mqboard.net.tls.make_context, or null; `psk`, identity and key in place of that;
`name`, the server's; `timeout`; `say`, hexadecimal, sent when connected; `size` of the answer;
`count`, how often. It prints a JSON object for each connection: `answer` (hexadecimal) or `error`
and its `kind`, `ms`, `ticks` (how often another task had its turn meanwhile), and `fds`, how many
files are open then.
"""

import asyncio
import gc
import json
import os
import socket
import sys
import time

from mqboard import net

job = json.load(sys.stdin)
ticks = 0


async def tick():
    """Count the turns of another task."""
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep_ms(5)


def make_context():
    """Make the context that the job describes."""
    from mqboard.net import tls

    return tls.make_context(**job["context"])


async def exchange(opener):
    """Connect, say something, and return the answer in hexadecimal."""
    stream = await opener()
    try:
        stream.write(bytes.fromhex(job["say"]))
        answer = b""
        piece = bytearray(1000)
        while len(answer) < job["size"]:
            count = stream.readinto(piece)
            if count == 0:
                break
            if count:
                answer += piece[:count]
            else:
                await stream.wait_readable()
        return answer.hex()
    finally:
        stream.close()


class TwoAddresses:
    """The module socket, for which a host has an address more."""

    SOCK_STREAM = socket.SOCK_STREAM
    socket = socket.socket

    @staticmethod
    def getaddrinfo(host, port, *more):
        first = socket.getaddrinfo(host, job["before"], *more)
        return first + socket.getaddrinfo(host, port, *more)


async def main():
    if "before" in job:
        net.socket = TwoAddresses
    context = make_context if job["context"] is not None else None

    async def open_stream():
        made = context and context()
        return await net.open_stream(
            job["host"], job["port"], made, job.get("name"), job.get("timeout", 10)
        )

    if "psk" in job:
        from mqboard.net import psk

        where = None, job["host"], job["port"]
        open_stream = psk.opener(*where, *job["psk"], job.get("timeout", 10))
    asyncio.create_task(tick())
    for _ in range(job.get("count", 1)):
        before, started = ticks, time.ticks_ms()
        found = {}
        try:
            found["answer"] = await exchange(open_stream)
        except OSError as error:
            found["error"] = str(error)
            found["kind"] = type(error).__name__
        found["ms"] = time.ticks_diff(time.ticks_ms(), started)
        found["ticks"] = ticks - before
        found["fds"] = len(list(os.ilistdir("/proc/self/fd")))
        print(json.dumps(found))
        gc.collect()


asyncio.run(main())

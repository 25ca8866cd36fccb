"""Runs the board's files in a folder of its own, on a router whose publish only records."""

import asyncio
import hashlib
import json
import os

import fakes
from fakes import FakeLog, scratch, until

import mqwire
from mqboard.files.service import Files
from mqboard.router import EACH, FILES, Router
from mqwire import files as wire

PREFIX = "esp32/test"
COMMANDS = ("ls", "stat", "get", "rm", "mkdir", "rmdir", "touch", "mv", "cp", "df")


def _ilistdir(path):
    """List as MicroPython does."""
    for entry in os.scandir(path):
        found = entry.stat(follow_symlinks=False)
        yield entry.name, found.st_mode & 0xF000, 0, found.st_size


if not hasattr(os, "ilistdir"):
    os.ilistdir = _ilistdir


_benches = []


def run(coroutine):
    """Run a coroutine to its end; then remove what its benches have in the filesystem."""
    try:
        fakes.run(coroutine)
    finally:
        while _benches:
            _benches.pop().remove()


class Bench:
    """Files below the new folder `root`; `sent` has what was published: (topic, payload)."""

    files = None

    def __init__(self, root=None):
        self.root = root or scratch()
        self.sent = []
        self.log = FakeLog()
        self.tasks = []
        self.router = Router(PREFIX, self.publish, None, self.log)
        self.begin()
        self.router.register(COMMANDS, None, FILES)
        self.router.register("put", None, EACH)
        self.router.files = lambda: self.files
        self._number = 0
        _benches.append(self)

    def remove(self):
        """Close what is open, and remove all that there is."""
        self.close()
        _remove(self.root)

    def close(self):
        for put in self.files.puts._puts if self.files.puts else ():
            if put._file:
                put._file.close()

    def begin(self):
        """Forget everything, as a reset does, apart from what was not flushed."""
        if self.files:
            self.close()
        self.files = Files(self.router, self.add, self.log, self.root)

    def add(self, name, start):
        self.tasks.append(asyncio.create_task(start()))

    async def publish(self, topic, payload, qos=0):
        self.sent.append((topic[len(PREFIX) + 5 :], bytes(payload)))
        await asyncio.sleep(0)
        return True

    def ident(self):
        self._number += 1
        return "%08d" % self._number

    def tell(self, command, body, ident, sequence=0, last=True, tail=""):
        """Hand one message over."""
        topic = mqwire.command_topic(PREFIX, command, ident, tail)
        payload = mqwire.header(sequence, last) + body
        return self.router.on_message(topic, memoryview(payload), False)

    def replies(self, ident):
        """Return the payloads of the replies to `ident` so far, without headers."""
        return [data[2:] for topic, data in self.sent if topic == "reply/out/" + ident]

    def errors(self, ident):
        return [data for topic, data in self.sent if topic == "reply/err/" + ident]

    def over(self, ident):
        """Return whether the last reply to `ident` has come, or an error."""
        for topic, data in self.sent:
            if topic == "reply/err/" + ident:
                return True
            if topic == "reply/out/" + ident and data[0] & 0x80:
                return True
        return False

    async def wait(self, ident):
        await until(lambda: self.over(ident))

    async def ask(self, command, **wish):
        """Give a command; return (its entries, the object that it ends with)."""
        ident = self.ident()
        self.tell(command, json.dumps(wish).encode(), ident)
        await self.wait(ident)
        self.none_missing(ident)
        records = [json.loads(line) for line in b"".join(self.replies(ident)).split(b"\n") if line]
        return [record for record in records if isinstance(record, list)], records[-1]

    def none_missing(self, ident):
        topic = "reply/out/" + ident
        numbers = [mqwire.parse_header(data)[0] for name, data in self.sent if name == topic]
        assert numbers == list(range(len(numbers))), numbers

    def head(self, path, data, **more):
        """Return what a put of `data` begins with."""
        sha256 = hashlib.sha256(data).digest().hex()
        wish = {"path": path, "size": len(data), "sha256": sha256}
        wish.update(more)
        return wire.pack_head(json.dumps(wish).encode())

    async def put(self, path, data, step=4096, ident=None, start=0, **more):
        """Put a file in messages of `step` bytes, from `start` on; return the last object."""
        ident = ident or self.ident()
        self.tell("put", self.head(path, data, **more), ident, 0, False)
        sequence = 1
        while True:
            piece = data[start : start + step]
            start += step
            self.tell("put", piece, ident, sequence, start >= len(data))
            sequence += 1
            await asyncio.sleep(0)
            if start >= len(data):
                break
        await self.wait(ident)
        return self.objects(ident)[-1]

    def objects(self, ident):
        return [json.loads(line) for line in b"".join(self.replies(ident)).split(b"\n") if line]

    async def get(self, *items):
        """Get items; return for each (data, size, mtime, steady), or (data, the error)."""
        ident = self.ident()
        self.tell("get", json.dumps({"files": items}).encode(), ident)
        await self.wait(ident)
        self.none_missing(ident)
        found, data = [], b""
        for message in self.replies(ident):
            kind, body = message[0], message[1:]
            if kind == wire.DATA:
                data += body
                continue
            end = wire.unpack_end(body) if kind == wire.END else (json.loads(body)["error"],)
            found.append((data,) + end)
            data = b""
        return found

    # The folder itself.

    def path(self, name):
        return self.root + "/" + name

    def write(self, name, data=b""):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def names(self, name=""):
        """Return what there is, unfinished files included."""
        return sorted([entry[0] for entry in os.ilistdir(self.path(name))])

    def exists(self, name):
        try:
            os.stat(self.path(name))
            return True
        except OSError:
            return False


def _remove(folder):
    for entry in list(os.ilistdir(folder)):
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            _remove(path)
        else:
            os.remove(path)
    os.rmdir(folder)


def pattern(size, seed=1):
    """Return `size` bytes that look like chance, the same for the same seed."""
    made = bytearray()
    number = 0
    while len(made) < size:
        made.extend(hashlib.sha256(b"%d %d" % (seed, number)).digest())
        number += 1
    return bytes(made[:size])

"""Puts files while power is cut: what the board's own code and LittleFS leave behind.

    micropython agent.py STORY SEED MOST

It runs the frozen mqboard.files of a firmware on a filesystem in memory. A story is told once to
count its flash operations; then again, with power lost at each of them, in every way that an
operation can be torn; where that would be more cuts than MOST, at so many by chance. After each cut
there is a new boot: the file must be the old one or the new one, to the byte, everything else as it
was, and the same put must come to its end. It prints, as JSON, how many cuts there were and what
was wrong.
"""

import sys

_BLOCK = 4096
_BLOCKS = 96
_PREFIX = "cuts"
_TEARS = (0.0, 0.5, 1.0, "noise")


class Bus:
    """Stands in for the board's `_bus`: the clock needs it."""

    clock_lead = 0


sys.modules["_bus"] = Bus()

import asyncio  # noqa: E402
import gc  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402

import vfs  # noqa: E402

from mqboard.files.service import Files  # noqa: E402
from mqboard.router import EACH, FILES, Router  # noqa: E402
from mqwire import command_topic, header  # noqa: E402
from mqwire.files import pack_head  # noqa: E402


class PowerLost(BaseException):
    pass


class Flash:
    """NOR flash as a block device: programming only clears bits. Power goes when `left` is 0."""

    def __init__(self):
        self.data = bytearray(b"\xff" * (_BLOCK * _BLOCKS))
        self.operations = 0
        self.left = -1
        self.tear = 0.0
        self.dead = False

    def readblocks(self, block, buffer, offset=0):
        start = block * _BLOCK + offset
        buffer[:] = memoryview(self.data)[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=None):
        start = block * _BLOCK + offset
        size = self._spend(len(buffer))
        data = self.data
        for index in range(size):
            data[start + index] &= self._torn(buffer[index])
        self._go_on()

    def ioctl(self, operation, argument):
        if operation == 4:
            return _BLOCKS
        if operation == 5:
            return _BLOCK
        if operation == 6:
            start = argument * _BLOCK
            size = self._spend(_BLOCK)
            if self.left == 0 and self.tear == "noise" and not self.dead:
                for index in range(0, size, 3):
                    self.data[start + index] |= random.getrandbits(8)
            else:
                self.data[start : start + size] = b"\xff" * size
            self._go_on()
        return 0

    def _spend(self, size):
        if self.dead:
            return 0
        self.operations += 1
        if self.left:
            return size
        return size if self.tear == "noise" else int(size * self.tear)

    def _torn(self, byte):
        return byte | random.getrandbits(8) if self.left == 0 and self.tear == "noise" else byte

    def _go_on(self):
        if self.dead:
            return
        if self.left == 0:
            self.dead = True
            raise PowerLost
        self.left -= 1


class Log:
    def exception(self, error, message, *args):
        print("log:", message % args, repr(error), file=sys.stderr)

    error = warning = info = debug = lambda self, message, *args: None


class Board:
    """One boot: the filesystem on `flash`, and files on it."""

    def __init__(self, flash):
        self.flash = flash
        flash.dead = False
        flash.left = -1
        vfs.mount(vfs.VfsLfs2(flash), "/")
        try:  # noqa: SIM105 (no contextlib on MicroPython)
            os.remove("/.nothing")  # as the firmware's _boot.py does, which says why
        except OSError:
            pass
        self.said = []
        self.router = Router(_PREFIX, self._publish, None, Log())
        self.files = Files(self.router, self._add, Log())
        self.router.register(("ls", "rm"), None, FILES)
        self.router.register("put", None, EACH)
        self.router.files = lambda: self.files
        self._tasks = []
        self._ident = 0

    async def _publish(self, topic, payload, qos=0):
        self.said.append(bytes(payload))
        return True

    def _add(self, name, start):
        self._tasks.append(start)

    def put(self, path, data, resume, step=4096):
        """Put a file, as far as power lasts; return the last thing that the board says."""
        self._ident += 1
        topic = command_topic(_PREFIX, "put", f"{self._ident:08}")
        sha256 = hashlib.sha256(data).digest().hex()
        wish = {"path": path, "size": len(data), "sha256": sha256, "parents": True}
        if resume:
            wish["resume"] = True
        self.router.on_message(
            topic, header(0, False) + pack_head(json.dumps(wish).encode()), False
        )
        puts = self.files.puts
        start = puts._puts[0].position
        sequence = 1
        while True:
            last = start + step >= len(data)
            self.router.on_message(
                topic, header(sequence, last) + data[start : start + step], False
            )
            start += step
            sequence += 1
            if last:
                break
        while self._tasks:
            asyncio.run(self._tasks.pop()())
        return json.loads(self.said[-1][2:])

    def end(self):
        """End this boot. What is open is closed now: the collector would write to flash."""
        self.flash.dead = True
        for put in self.files.puts._puts if self.files.puts else ():
            if put._file:
                try:  # noqa: SIM105 (no contextlib on MicroPython)
                    put._file.close()
                except OSError:
                    pass
        vfs.umount("/")
        gc.collect()


def content(size, seed):
    made = b""
    while len(made) < size:
        made += hashlib.sha256(b"%d %d" % (seed, len(made))).digest()
    return made[:size]


# Of each: where, what is there before (None: nothing), what is put, and how much of that is there
# already, unfinished.
STORIES = {
    "replace": ("/f", 5000, 9000, 0),
    "small": ("/f", 50, 100, 0),
    "empty": ("/f", 6000, 0, 0),
    "new": ("/a/b/f", None, 4096, 0),
    "resume": ("/f", 300, 12000, 8192),
    "long": ("/f", 9000, 140000, 0),
}
OTHER = content(7000, 9)


class Story:
    def __init__(self, name):
        self.path, before, size, unfinished = STORIES[name]
        self.old = None if before is None else content(before, 1)
        self.new = content(size, 2)
        self.flash = Flash()
        vfs.VfsLfs2.mkfs(self.flash)
        board = Board(self.flash)
        write("/other", OTHER)
        if self.old is not None:
            write(self.path, self.old)
        if unfinished:
            sha256 = hashlib.sha256(self.new).digest().hex()
            wish = {"path": self.path, "size": size, "sha256": sha256}
            topic = command_topic(_PREFIX, "put", "abcdefgh")
            head = header(0, False) + pack_head(json.dumps(wish).encode())
            board.router.on_message(topic, head, False)
            part = header(1, False) + self.new[:unfinished]
            board.router.on_message(topic, part, False)
            board.files.puts._puts[0]._file.flush()
        self.flash.left = -1
        board.end()
        self.snapshot = bytes(self.flash.data)
        self.flash.operations = 0
        self.tell(-1, 0.0)
        self.length = self.flash.operations
        self.check((self.new,))

    def tell(self, left, tear):
        """Tell the story, with power lost after so many operations (-1: not at all)."""
        self.flash.data[:] = self.snapshot
        self.boot(left, tear)

    def boot(self, left, tear):
        board = Board(self.flash)
        self.flash.left, self.flash.tear = left, tear
        try:
            return board.put(self.path, self.new, True)
        except PowerLost:
            return None
        finally:
            board.end()

    def check(self, contents):
        """Raise ValueError unless the file is one of these, and all else is as it was."""
        board = Board(self.flash)
        try:
            found = read(self.path)
            if found not in contents:
                raise ValueError(f"the file has {found and len(found)} bytes of nobody")
            if read("/other") != OTHER:
                raise ValueError("the other file is damaged")
            return [name for name in os.listdir("/") if name.startswith(".put")]
        finally:
            board.end()

    def cut(self, at, tear, again):
        self.tell(at, tear)
        self.check((self.old, self.new))
        if again is not None:
            self.boot(again, tear)
            self.check((self.old, self.new))
        outcome = self.boot(-1, 0.0)
        if "size" not in outcome:
            raise ValueError(f"the put does not come to its end: {outcome}")
        if self.check((self.new,)):
            raise ValueError("an unfinished file is left")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if error.errno != 2:
            raise
        return None


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def main(name, seed, most):
    """Do what the module's docstring says."""
    random.seed(int(seed))
    vfs.umount("/")
    story = Story(name)
    cases = [(at, tear) for at in range(story.length) for tear in _TEARS]
    if len(cases) > int(most):
        cases = [random.choice(cases) for _ in range(int(most))]
    lost = []
    for number, (at, tear) in enumerate(cases):
        again = random.randrange(story.length) if number % 4 == 3 else None
        try:
            story.cut(at, tear, again)
        except (ValueError, OSError) as error:
            lost.append(f"{name}, operation {at}, torn {tear}, again {again}: {error!r}")
    print(json.dumps({"operations": story.length, "cuts": len(cases), "lost": lost}))


main(*sys.argv[1:])

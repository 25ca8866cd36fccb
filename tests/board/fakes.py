"""Fakes partition, NVS, stream, log and clocks, with the real contracts, for both runtimes."""

import asyncio
import os

from mqboard.health.blackbox import BlackBox

try:
    from tempfile import mkdtemp
except ImportError:  # MicroPython
    mkdtemp = None

BLOCK = 4096


def run(coroutine, timeout=10):
    """Run a coroutine to its end on a fresh event loop; leftover tasks are dropped."""

    async def main():
        try:
            return await asyncio.wait_for(coroutine, timeout)
        finally:
            await _end_all()

    try:
        return asyncio.run(main())
    finally:
        if hasattr(asyncio, "new_event_loop") and hasattr(asyncio, "core"):
            asyncio.new_event_loop()


async def _end_all():
    """Cancel what still runs, on CPython, until it has ended. Its wait_for (3.11) may swallow a
    cancellation that comes together with what was waited for, and asyncio.run cancels only once."""
    others = asyncio.all_tasks() - {asyncio.current_task()} if hasattr(asyncio, "all_tasks") else ()
    for _ in range(100):
        others = [task for task in others if not task.done()]
        for task in others:
            task.cancel()
        await asyncio.sleep(0)


async def until(condition, timeout=5):
    """Wait until `condition()` holds; fail when it does not in time."""
    for _ in range(int(timeout / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited in vain")


def scratch():
    """Return the path of an empty folder, which stays."""
    if mkdtemp:
        return mkdtemp()
    path = "/scratch%d" % len(os.listdir("/"))
    os.mkdir(path)
    return path


def black_box():
    """Return a black box whose memory nobody reads."""
    return BlackBox(lambda data: None, 0, "")


class FakeLog:
    """Collects what is logged."""

    def __init__(self):
        self.lines = []

    def _log(self, message, *args):
        self.lines.append(message % args if args else message)

    debug = info = warning = error = _log

    def exception(self, error, message, *args):
        self._log(message, *args)
        self.lines.append(repr(error))


class FakePartition:
    """An esp32.Partition in memory: erased 0xFF, three-argument writes erase first."""

    def __init__(self, blocks, label="ota_1", address=0):
        self.data = bytearray(b"\xff" * (blocks * BLOCK))
        self.label = label
        self.address = address
        self.writes = 0
        self.fail_after = None
        self.booted = 0

    def info(self):
        return (0, 0x11, self.address, len(self.data), self.label, False)

    def readblocks(self, number, buffer, offset=0):
        start = number * BLOCK + offset
        if start + len(buffer) > len(self.data):
            raise OSError(-258, "ESP_ERR_INVALID_SIZE")
        buffer[:] = self.data[start : start + len(buffer)]

    def writeblocks(self, number, buffer, offset=None):
        if self.fail_after is not None and self.writes >= self.fail_after:
            raise OSError(5)
        self.writes += 1
        start = number * BLOCK + (offset or 0)
        old = self.data[start : start + len(buffer)]
        if offset is not None and old != b"\xff" * len(buffer):
            raise AssertionError("written without erasing")
        self.data[start : start + len(buffer)] = buffer

    def ioctl(self, command, argument):
        if command == 6:
            start = argument * BLOCK
            self.data[start : start + BLOCK] = b"\xff" * BLOCK
            return 0
        return {4: len(self.data) // BLOCK, 5: BLOCK}.get(command, 0)


class FakeNvs:
    """An esp32.NVS namespace in memory; `blobs` has what is kept; nothing more while `full`."""

    def __init__(self):
        self.blobs = {}
        self.full = False

    def get_blob(self, key, buffer):
        if key not in self.blobs:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        value = self.blobs[key]
        if len(value) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key, value):
        if self.full:
            raise OSError(-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        self.blobs[key] = bytes(value)

    def erase_key(self, key):
        if self.blobs.pop(key, None) is None:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")

    def commit(self):
        pass


class FakeStream:
    """A stream for mqboard.mqtt.Client whose other end is the test."""

    def __init__(self):
        self.incoming = bytearray()
        self.sent = bytearray()
        self.writes = []
        self.eof = False
        self.closed = False
        self.room = None  # bytes the "socket" still takes; None: all
        self.chunk = None  # bytes per read at the most
        self._news = asyncio.Event()

    def feed(self, data):
        self.incoming.extend(data)
        self._news.set()

    def end(self):
        self.eof = True
        self._news.set()

    def drain(self, room=None):
        self.room = room
        self._news.set()

    def readinto(self, view):
        if not self.incoming:
            return 0 if self.eof else None
        count = min(len(view), len(self.incoming), self.chunk or len(view))
        view[:count] = self.incoming[:count]
        self.incoming = self.incoming[count:]
        return count

    def write(self, view):
        count = len(view) if self.room is None else min(len(view), self.room)
        if not count:
            return None
        if self.room is not None:
            self.room -= count
        self.sent.extend(view[:count])
        self.writes.append(bytes(view[:count]))
        return count

    async def wait_readable(self):
        while not self.incoming and not self.eof:
            self._news.clear()
            await self._news.wait()

    async def wait_writable(self):
        while self.room == 0:
            self._news.clear()
            await self._news.wait()

    def wait_readable_now(self, timeout_ms):
        return bool(self.incoming or self.eof)

    def wait_writable_now(self, timeout_ms):
        self.drain()
        return True

    def close(self):
        self.closed = True
        self.eof = True
        self._news.set()

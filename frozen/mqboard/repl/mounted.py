"""Lets code from afar import from a folder of the host: a filesystem to read from, at /remote.

What is in the folder the board knows from a listing; only what a file holds has to be asked for.
`import` cannot await, so packets are taken right there, as where printing code waits for credit
(mqboard.repl.job). Therefore only that code sees files in there: for everybody else it is empty.
A host that says nothing for a while is gone, and with it the mount.
"""

import asyncio
import io
import json
import os
import struct
import sys

from micropython import const

import mqwire
from mqboard.clock import ticks_diff, ticks_ms
from mqboard.repl.mountedfile import File
from mqwire import mount as wire

_ENOENT = const(2)
_EROFS = const(30)
_ETIMEDOUT = const(110)
_ENOTCONN = const(128)
_FILE = const(0x8000)
_FOLDER = const(0x4000)
_PATIENCE_MS = const(8000)  # without a word from the host, in the middle of a file
_LOOK_MS = const(200)
_LOOK_S = const(1)


class Mounted:
    """A mount that the command `request` wants; `who` is the one who sent it. `begin` it."""

    _over = ""  # why

    def __init__(self, board, request, who, listing):
        self.ident = request.ident
        self._board = board
        self._request = request
        self._who = who
        self._since = self._heard = board.supervisor.seconds
        self._listing = b"\n" + listing + b"\n"
        self._coming = None  # a new one
        self._ended = asyncio.Event()
        self._cwd = ""
        self._files = {}  # those that are open, by the number of their question
        self._number = 0

    def facts(self):
        """Return whose it is, where it is, its id, and for how many seconds."""
        return self._who, wire.PATH, self.ident, self._board.supervisor.seconds - self._since

    # Its life

    def begin(self):
        """Mount it, and look after it in a task."""
        os.mount(self, wire.PATH)
        sys.path.insert(0, wire.PATH)
        self._board.router.mounted = self
        self._board.supervisor.add("mount " + self.ident, self._run, vital=False)

    async def _run(self):
        supervisor = self._board.supervisor
        try:
            while not self._over:
                try:
                    await asyncio.wait_for(self._ended.wait(), _LOOK_S)
                except asyncio.TimeoutError:
                    pass
                if supervisor.seconds - self._heard > wire.LEASE_S:
                    self._over = "the host said nothing for %d s" % wire.LEASE_S
        finally:
            self.end("ended")
        await self._request.reply(json.dumps({"over": self._over}).encode())

    def end(self, why):
        """Unmount it, at once."""
        self._over = self._over or why
        self._ended.set()
        if self._board.router.mounted is not self:
            return
        self._board.router.mounted = None
        if wire.PATH in sys.path:
            sys.path.remove(wire.PATH)
        try:
            os.umount(wire.PATH)
        except OSError:
            pass  # somebody was faster
        self._unload()

    def _unload(self):
        """Let go of the modules that came from the folder."""
        names = self._board.names
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(wire.PATH + "/"):
                del sys.modules[name]
                for own in [own for own in names if names[own] is module]:
                    del names[own]

    # What the host says; inside the MQTT reader

    def hear(self, ident, payload):
        """Take a part of an answer."""
        payload = payload[mqwire.HEADER_SIZE :]
        if ident != self.ident or len(payload) < wire.HEAD_SIZE:
            return
        self._heard = self._board.supervisor.seconds
        number, position, total = struct.unpack_from(wire.HEAD, payload)
        data = payload[wire.HEAD_SIZE :]
        if number == wire.ANEW:
            self._unload()
            self._board.start_names()
        elif number == wire.LISTING:
            self._hear_listing(position, total, data)
        elif number in self._files:
            self._files[number].hear(position, total, data)

    def _hear_listing(self, position, total, data):
        if not position:
            self._coming = b"\n"
        if self._coming is None or position != len(self._coming) - 1 or total > wire.MAX_LISTING:
            return
        try:
            self._coming += data
        except MemoryError:
            self.end("the board had no memory for the listing")  # a wrong one is worse
            return
        if len(self._coming) > total:
            self._listing, self._coming = self._coming + b"\n", None

    # What files ask

    def ask(self, file, question):
        """Ask the host; raises OSError. `question` is a dict, to which the number is added."""
        question["ask"] = file.number
        job = self._job()
        if not job or self._over:
            raise OSError(_ENOENT)
        job.output.busy = True  # nobody breaks in
        try:
            self._request.reply_now(json.dumps(question).encode())
        finally:
            job.output.busy = False

    def wait(self, file):
        """Wait until more of `file` is there; OSError if nothing comes, and the mount is over."""
        job = self._job()
        if not job or self._over:
            raise OSError(_ENOENT)
        start = ticks_ms()
        job.output.busy = True
        try:
            while not file.news():
                if not self._board.client.connected:
                    self.end("the connection was lost")
                    raise OSError(_ENOTCONN)
                if ticks_diff(ticks_ms(), start) > _PATIENCE_MS:
                    self.end("the host did not answer")
                    raise OSError(_ETIMEDOUT)
                job.wait(_LOOK_MS)
        finally:
            job.output.busy = False

    def _job(self):
        """Return the code from afar that runs right now, None if others do."""
        jobs = self._board.router.jobs
        return jobs.inside if jobs and not jobs.pump.busy else None

    # The protocol of MicroPython's filesystems

    def mount(self, readonly, mkfs):
        """Take that it is mounted."""

    def umount(self):
        """Take that it is not any more."""

    def chdir(self, path):
        """Make a folder the current one."""
        path = self._inside(path)
        if path and self._size(path) != "-":
            raise OSError(_ENOENT)
        self._cwd = path

    def getcwd(self):
        """Return the current folder."""
        return "/" + self._cwd

    def stat(self, path):
        """Return what os.stat does."""
        path = self._inside(path)
        size = self._size(path) if path else "-"
        if size == "-":
            return (_FOLDER, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        return (_FILE, 0, 0, 0, 0, 0, int(size), 0, 0, 0)

    def statvfs(self, path):
        """Return what os.statvfs does: there is no room."""
        return (1, 1, 0, 0, 0, 0, 0, 0, 1, 255)

    def ilistdir(self, path):
        """Return what os.ilistdir does."""
        path = self._inside(path)
        if path and self._size(path) != "-":
            raise OSError(_ENOENT)
        return self._entries(path + "/" if path else "")

    def _entries(self, prefix):
        if not self._job():
            return
        for line in self._listing.split(b"\n"):
            name, _, size = str(line, "utf-8").partition("\0")
            if name.startswith(prefix) and name != prefix and "/" not in name[len(prefix) :]:
                name = name[len(prefix) :]
                yield (name, _FOLDER, 0, 0) if size == "-" else (name, _FILE, 0, int(size))

    def open(self, path, mode):
        """Open a file; to be read only. Raises OSError."""
        for letter in "wax+":
            if letter in mode:
                raise OSError(_EROFS)
        path = self._inside(path)
        if self._size(path) == "-":
            raise OSError(_ENOENT)
        self._number += 1
        file = File(self, self._number)
        self._files[file.number] = file
        try:
            file.begin(path)
            if "b" in mode:
                return file
            text = io.StringIO(str(file.read(), "utf-8"))
        except BaseException:
            file.close()
            raise
        file.close()
        return text

    def forget(self, file):
        """Forget an open file."""
        self._files.pop(file.number, None)

    def _read_only(self, *_):
        raise OSError(_EROFS)

    remove = rename = mkdir = rmdir = ilock = _read_only

    def _inside(self, path):
        """Return `path` within the folder, without a slash at its ends."""
        if not path.startswith("/"):
            path = self._cwd + "/" + path
        kept = []
        for name in path.split("/"):
            if name == "..":
                kept = kept[:-1]
            elif name and name != ".":
                kept.append(name)
        return "/".join(kept)

    def _size(self, path):
        """Return the size that the listing has of `path`, as text; "-" for a folder."""
        start = b"\n" + path.encode() + b"\0"
        place = self._listing.find(start) if self._job() else -1
        if place < 0:
            raise OSError(_ENOENT)
        place += len(start)
        return str(self._listing[place : self._listing.find(b"\n", place)], "utf-8")

"""Answers file commands, one after the other, and lets all else run between two pieces of work.

`Files` exists while there is something to do. A command's function gets it, the request and what
is wished; it calls `turn` between two files or pieces, and raises Fault. What it returns, an
object, is the end of the reply.
"""

import asyncio
import hashlib

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.files import places
from mqboard.files.errors import Fault, fault_of, line
from mqboard.files.wish import read
from mqboard.request import Request
from mqboard.router import FILES
from mqwire.files import CANCELLED, PIECE

_REST_MS = const(5)  # what others may have to wait for us
_TELL_MS = const(1_000)  # between two lines that say that we are still at it
_MESSAGE = const(1300)  # bytes of lines that make a message: with its headers one TCP segment
_IDLE_MS = const(10_000)
_COMMANDS = (
    ("listing", ("ls", "stat", "df")),
    ("changes", ("rm", "mkdir", "rmdir", "touch")),
    ("moves", ("mv", "cp")),
    ("reading", ("get",)),
)


class Files:
    """Answers requests below the folder `root`, "" on a board. `router` is mqboard.router's;
    `add(name, start)` has a task run.
    """

    def __init__(self, router, add, log, root=""):
        self.router = router
        self.log = log
        self._add = add
        self._serving = False
        self.puts = None  # mqboard.files.puts.Puts, while something is being put
        self.work = None  # the request that is being answered
        self._root = root
        self._rooms = []
        self._lines = b""
        self._cancelled = False
        self._used = self._told = self._rested = ticks_ms()
        self._buffer = None

    def serve(self):
        """Have a task answer what waits in the queue, if none does."""
        if not self._serving:
            self._add("files", self._serve)
            self._serving = True

    async def _serve(self):
        try:
            await self.router.drain(FILES)
        finally:
            self._serving = False

    async def answer(self, request):
        """Answer a request."""
        self.work = request
        self._cancelled = False
        self._used = self._told = self._rested = ticks_ms()
        self._lines = b""
        try:
            outcome = await self._run(request)
        except Fault as fault:
            outcome = fault.facts
        except OSError as error:
            outcome = fault_of(error, "").facts
        finally:
            self.work = None
            self._used = ticks_ms()
        if outcome is None:
            return  # it has said all there is to say
        if request.tail:  # the first MQBoard's tool asks so
            await request.error(line(outcome))
            return
        lines, self._lines = self._lines, b""
        await request.reply(lines + line(outcome))

    async def _run(self, request):
        wish = {}
        if not request.tail:
            wish = read(request.body)
            request.body = None
        for module, names in _COMMANDS:
            if request.command in names:
                room = __import__("mqboard.files." + module, None, None, (request.command,))
                return await getattr(room, request.command)(self, request, wish)

    def busy(self):
        """Return whether there is something to do."""
        return self._serving or self.puts and self.puts.busy()

    def idle(self):
        """Return whether there has been nothing to do for a while."""
        return not self.busy() and ticks_diff(ticks_ms(), self._used) > _IDLE_MS

    def look(self):
        """Give up what gets no more bytes; called once a second."""
        if self.puts:
            self.puts.look()

    def take(self, ident, tail, sequence, last, data):
        """Take a message of a put, in the MQTT reader; True asks for a turn for others."""
        self._used = ticks_ms()
        if not self.puts:
            from mqboard.files.puts import Puts

            self.puts = Puts(self)
        return self.puts.take(ident, tail, sequence, last, data)

    def cancel(self, ident):
        """End the command `ident`; return whether there is one."""
        if self.work and self.work.ident == ident:
            self._cancelled = True
            return True
        return bool(self.puts and self.puts.cancel(ident))

    # For commands.

    def run(self, start):
        """Have `await start()` run in a task that takes what is put."""
        self._add("put", start)

    def request(self, command, ident, tail):
        """Return a request of our own, for what is put."""
        return Request(self.router, command, ident, tail)

    def place(self, path):
        """Return where `path`, as the host says it, is; raise Fault."""
        return self._root + places.normal(path)

    def shown(self, place):
        """Return how the host calls a place."""
        return place[len(self._root) :] or "/"

    def home(self, place):
        """Return the root folder of the filesystem that a place is in."""
        return places.home(place, self._root or "/")

    def piece(self):
        """Return the buffer for a piece of a file, and for what is before it in a message."""
        self._buffer = self._buffer or self.new_piece()
        return self._buffer

    def new_piece(self):
        """Return another one; a small one if the heap is full."""
        size = PIECE
        while True:
            try:
                return memoryview(bytearray(3 + size))
            except MemoryError:
                size //= 4
                if size < 64:
                    raise

    def room(self, place):
        """Return the mqboard.files.room.Room of the filesystem that a place is in."""
        from mqboard.files.room import Room

        home = self.home(place)
        for known in self._rooms:
            if known.folder == home:
                return known
        self._rooms.append(Room(home))
        return self._rooms[-1]

    async def rest(self):
        """Let others run, if they have not for some time; raise Fault if the command is to end."""
        if ticks_diff(ticks_ms(), self._rested) >= _REST_MS:
            await asyncio.sleep(0)
            self._rested = ticks_ms()
        if self._cancelled:
            raise Fault(CANCELLED)

    async def turn(self, request, **facts):
        """The same, and say now and then that we are at it, and how far."""
        await self.rest()
        if ticks_diff(ticks_ms(), self._told) >= _TELL_MS:
            self._lines += line(facts)
            await self._send(request)

    async def say(self, request, entry):
        """Add an entry to the reply."""
        self._lines += line(entry)
        if len(self._lines) >= _MESSAGE:
            await self._send(request)

    async def _send(self, request):
        self._told = ticks_ms()
        lines, self._lines = self._lines, b""
        await request.reply(lines, last=False, qos=0)

    async def hash(self, request, place):
        """Return the SHA-256 of a file, in hex."""
        digest = hashlib.sha256()
        buffer = self.piece()
        with open(place, "rb") as file:
            while True:
                count = file.readinto(buffer)
                digest.update(buffer[:count])
                if count < len(buffer):
                    break
                await self.turn(request)
        return digest.digest().hex()

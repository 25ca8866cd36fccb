"""Takes one file that is put: writes its bytes in the MQTT reader, and puts it in its place.

    head -> what we have -> bytes, into an unfinished file -> read back and hashed -> renamed

The unfinished file is named after what it is to become, and stays over a lost connection or a
reset: who puts the same again goes on behind what has reached flash. Until the last step whatever
is in the file's place stays as it is. The first MQBoard's tool says no size and no hash; what it
puts is hashed as it comes.
"""

import hashlib
import json
import os

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.files import places, room
from mqboard.files.changes import make_folders
from mqboard.files.errors import Fault, fault_of, line
from mqwire import SINGLE, WireError, reply_topic
from mqwire import files as wire

_SYNC_EVERY = const(131_072)  # bytes after which a reset does not lose them any more
_TELL_EVERY = const(8)  # messages
_TELL_MS = const(1_000)  # while a file is read back
_SILENT_MS = const(3_000)  # another sender may go on with a file after so long
_KEPT = (wire.GAP, wire.ABANDONED, wire.SUPERSEDED, wire.CANCELLED)  # what came so far is good


class Put:
    """One file of `puts` (mqboard.files.puts). `place` is where it goes, `path` what the host calls
    that.
    """

    def __init__(self, puts, files, ident, tail):
        self.request = files.request("put", ident, tail)
        self.path = tail
        self.place = ""
        self.temporary = None
        self.fault = None
        self.complete = False
        self.ended = False
        self.position = 0  # bytes that the unfinished file has
        self.token = None
        self._puts = puts
        self._files = files
        self._file = None
        self._size = self._hash = None
        self._digest = None  # of what was received, for who does not tell
        self._next = 0
        self._reported = -1  # the position that the host was told last
        self._synced = 0
        self._told = 0  # messages that the first MQBoard's tool was told of
        self._touched = ticks_ms()
        self._check = None  # the hash of what stands in flash, while it is read back

    def silent_ms(self):
        """Return how long ago the last message came."""
        return ticks_diff(ticks_ms(), self._touched)

    def fail(self, fault):
        """End this put with `fault`."""
        self.fault = self.fault or fault
        self._puts.wake.set()

    # In the MQTT reader.

    def take(self, sequence, last, data):
        """Take a message."""
        if self.fault or self.complete or sequence < self._next:
            return
        self._touched = ticks_ms()
        try:
            if sequence != self._next:
                raise Fault(wire.GAP, self.path, part=self._next)
            self._next += 1
            if not sequence:
                data = self._begin(data, last)
            self._write(data)
            if last:
                self._end()
        except Fault as fault:
            self.fail(fault)
        except OSError as error:
            self.fail(fault_of(error, self.path))
        except MemoryError:
            self.fail(Fault("ENOMEM", self.path))
        if last or self.position - self._reported >= wire.REPORT_EVERY or self._reported < 0:
            self._puts.wake.set()

    def _begin(self, data, last):
        """Take the head; return what of the file is behind it."""
        wish, files = {}, self._files
        if self.request.tail:
            self._digest = hashlib.sha256()
            what = self.request.ident.encode()
        else:
            wish, data = _head(data)
            self.path, self._size, self._hash = wish["path"], wish["size"], wish["sha256"]
            self.token = wish.get("token")
            what = b"%s %d" % (self._hash.encode(), self._size)
        self.place = files.place(self.path)
        if wish.get("parents"):
            make_folders(files, places.parent(self.place))
        room.check(files, self.place)
        self.temporary = room.temporary(files, self.place, what)
        other = self._puts.other(self)
        if other:
            mine = self.token is not None and other.token == self.token
            if other.complete or not (mine or other.silent_ms() > _SILENT_MS):
                self.temporary = None  # which is theirs
                raise Fault("EBUSY", self.path)
            other.release(Fault(wire.SUPERSEDED, self.path))
        found = places.stat(self.temporary) if wish.get("resume") else None
        if found and found[0] is not None and found[0] <= self._size:
            self.position = self._synced = found[0]
        if self._size is not None:
            self._puts.room_for(self, self._size - self.position)
        else:
            self._puts.room_for(self, len(data))
        self._file = open(self.temporary, "ab" if self.position else "wb")  # noqa: SIM115
        if last:
            self._reported = self.position  # it is answered at its end, which is now
        return data

    def _write(self, data):
        size = len(data)
        if not size:
            return
        if self._size is not None and self.position + size > self._size:
            raise Fault(wire.MALFORMED, self.path, text="it is longer than its size")
        if self._file.write(data) != size:
            raise Fault("ENOSPC", self.path)
        self.position += size
        if self._digest:
            self._digest.update(data)
        if self.position - self._synced >= _SYNC_EVERY:
            self._file.flush()
            self._synced = self.position

    def _end(self):
        if self._digest:
            self._size, self._hash = self.position, self._digest.digest().hex()
        if self.position != self._size:
            raise Fault(wire.MALFORMED, self.path, text="it is shorter than its size")
        file, self._file = self._file, None
        file.close()
        self.complete = True

    # In the task.

    async def step(self):
        """Do the next thing that is to be done; return whether there was one."""
        try:
            if self.fault:
                await self._finish(self.fault)
            elif self.complete:
                await self._check_piece()
            elif self.request.tail and self._next >= self._told + _TELL_EVERY:
                self._told = self._next
                # Of more than 100 KiB the first MQBoard's tool sends no more without that.
                told = SINGLE + b"SEQ %d" % (self._told - 1)
                topic = reply_topic(self.request.prefix, self.request.ident)
                await self._files.router.publish(topic, told, 1)
            elif self._size is not None and self._due():
                self._reported = self.position
                await self._say_how_far()
            else:
                return False
        except OSError as error:
            self.fail(fault_of(error, self.path))
        except MemoryError:
            self.fail(Fault("ENOMEM", self.path))
        return True

    async def _say_how_far(self):
        facts = {"have": self.position, "credit": wire.CREDIT}
        await self.request.reply(line(facts), last=False, qos=0)

    def _due(self):
        return self._reported < 0 or self.position - self._reported >= wire.REPORT_EVERY

    async def _check_piece(self):
        """Read the next piece back; behind the last one put the file in its place."""
        buffer = self._puts.piece()
        if not self._check:
            self._check = hashlib.sha256()
            self._file = open(self.temporary, "rb")  # noqa: SIM115
        count = self._file.readinto(buffer)
        self._check.update(buffer[:count])
        if count:
            if not self.request.tail and ticks_diff(ticks_ms(), self._touched) >= _TELL_MS:
                self._touched = ticks_ms()
                await self._say_how_far()
            return
        self._file.close()
        self._file = None
        if self._check.digest().hex() != self._hash:
            self.fail(Fault(wire.HASH, self.path))
            return
        os.rename(self.temporary, self.place)
        self.temporary = None
        await self._finish(None)

    async def _finish(self, fault):
        self.ended = True  # whatever becomes of the words
        self.release(fault)
        request = self.request
        self._files.router.take_ident(request.ident)
        if request.tail:
            await (request.error(line(fault.facts)) if fault else request.reply(b"OK"))
        else:
            # Not acknowledged: the other files would wait for that. Who misses it looks what there
            # is now.
            facts = fault.facts if fault else {"size": self._size, "sha256": self._hash}
            await request.reply(line(facts), qos=0)

    def release(self, fault):
        """Let go of the unfinished file; remove it, unless what came so far can be gone on with.

        It must be closed here: closed by the garbage collector it would write to flash in there.
        """
        self.fault = self.fault or fault
        file, self._file = self._file, None
        temporary, self.temporary = self.temporary, None
        try:
            if file:
                file.close()
        except OSError:  # there was no room to close it
            pass
        try:
            if temporary and (self.request.tail or fault.code not in _KEPT):
                os.remove(temporary)
        except OSError:  # it was never made
            pass
        self._puts.wake.set()


def _head(data):
    """Return (what is wished, the bytes behind it); raise Fault."""
    try:
        head, data = wire.unpack_head(data)
        wish = json.loads(bytes(head))
        size, sha256 = wish["size"], wish["sha256"]
        good = isinstance(size, int) and size >= 0 and isinstance(sha256, str) and "path" in wish
    except (WireError, ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise Fault(wire.MALFORMED, "", text="a put begins with path, size and sha256")
    return wish, data

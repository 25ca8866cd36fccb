"""Has the target of a bridge managed by mqboard, as a board is: code, files, reset.

Optional, beside mqlink.py. It answers the commands below `~/mqb/cmd/` in the formats of
docs/protocol.md, and says by a retained status whether the target is there, for which it has the
link's will:

    link = mqlink.Link(uart)
    manager = mqmanage.Manager(link)
    ...
    async with link:
        await manager.run()
"""

import asyncio
import binascii
import hashlib
import io
import json
import os
import struct
import sys

_PROTOCOL = 3
_PIECE = 1024
_MAX_BODY = 16384
_REMEMBERED = 8  # ids of commands that are not executed again
_CODES = {1: "EPERM", 2: "ENOENT", 5: "EIO", 12: "ENOMEM", 16: "EBUSY", 17: "EEXIST"}
_CODES.update({20: "ENOTDIR", 21: "EISDIR", 22: "EINVAL", 28: "ENOSPC", 39: "ENOTEMPTY"})
_NEW = "/.put-target"  # what is being put, until it is all there
_EXPRESSION = "eval"


class Fault(Exception):
    """Raised when work on files fails: a code, and the path."""


class Manager:
    """Answers commands for `link`, a mqlink.Link. `names` are those that code finds; `reset()` is
    machine.reset, if there is such a thing.
    """

    def __init__(self, link, names=None, board="target"):
        self._link = link
        self.names = {"__name__": "__main__", "link": link} if names is None else names
        self._boot_id = str(binascii.hexlify(os.urandom(4)), "ascii")
        self._facts = {"protocol": _PROTOCOL, "board": board, "mcu": sys.platform}
        self._facts.update({"version": sys.version.split("; ")[-1], "boot_id": self._boot_id})
        link.will = ("~/mqb/status", self._status("offline", "connection lost"), 1, True)
        self._idents = []
        self._bodies = {}  # of commands whose parts are still arriving
        self._put = None
        self._jobs = {}
        self._output = []

    def _status(self, state, reason=None):
        status = {"state": state}
        status.update(self._facts)
        if reason:
            status["reason"] = reason
        return json.dumps(status).encode()

    async def run(self):
        """Answer, for ever. Cancel it to stop."""
        link = self._link
        # At QoS 0: so an application that takes no more messages cannot hold up a command.
        await link.subscribe("~/mqb/cmd/#", self._take, 0)
        connects = 0
        while True:
            await link.connected.wait()
            if connects != link.connects:
                connects = link.connects
                try:
                    await link.publish("~/mqb/status", self._status("online"), 1, True)
                except Exception as error:  # the broker hangs up at it: others it may take
                    sys.print_exception(error)
            await asyncio.sleep(0.2)

    async def _take(self, topic, payload, retained):
        parts = topic[len(self._link.prefix) + len("/mqb/cmd/") :].split("/", 2)
        if retained or len(parts) < 2 or len(payload) < 2:
            return
        command, ident = parts[:2]
        tail = parts[2] if len(parts) > 2 else ""
        (word,) = struct.unpack(">H", payload[:2])
        number, last = (0, True) if word == 0xFFFF else (word & 0x7FFF, word >= 0x8000)
        if command == "put":
            return await self._answer(ident, self._take_put(ident, number, last, payload[2:]))
        if command == "credit" or ident in self._idents:
            return
        body = self._bodies.pop(ident, b"") + payload[2:]
        if len(body) > _MAX_BODY:
            return await self._error(ident, "command is longer than %d bytes" % _MAX_BODY)
        if not last:
            self._bodies.clear()
            self._bodies[ident] = body
            return
        self._idents = self._idents[1 - _REMEMBERED :] + [ident]
        work = getattr(self, "_do_" + command, None)
        if not work:
            return await self._error(ident, "Command '%s' not supported" % command)
        if command in ("exec", "eval"):
            self._jobs[ident] = asyncio.create_task(self._run(ident, work(ident, body)))
        else:
            await self._answer(ident, work(ident, tail if command == "cancel" else body))

    async def _run(self, ident, work):
        try:
            await self._answer(ident, work)
        finally:
            del self._jobs[ident]

    async def _answer(self, ident, work):
        """Do `work`; whatever it fails of is the answer."""
        try:
            try:
                await work
            except OSError as error:
                raise Fault(_CODES.get(error.args[0], "E%s" % error.args[0]), "")
        except Fault as fault:
            record = {"error": fault.args[0], "path": fault.args[1]}
            await self._reply(ident, 0, json.dumps(record).encode() + b"\n")
        except Exception as error:
            await self._error(ident, _trace(error))

    def _reply(self, ident, number, data, last=True):
        head = struct.pack(">H", number & 0x7FFF | (0x8000 if last else 0))
        return self._link.publish("~/mqb/reply/out/" + ident, head + data, 1)

    def _error(self, ident, text):
        return self._link.publish("~/mqb/reply/err/" + ident, text[-2048:].encode(), 1)

    async def _say(self, ident, records):
        """Reply with lines of JSON, in as many messages as it takes."""
        number, data = 0, b""
        for record in records:
            data += json.dumps(record).encode() + b"\n"
            if len(data) > _PIECE:
                await self._reply(ident, number, data, False)
                number, data = number + 1, b""
        await self._reply(ident, number, data)

    # The target.

    async def _do_ping(self, ident, body):
        await self._reply(ident, 0, b"OK")

    async def _do_info(self, ident, body):
        import gc

        facts = {"heap_free": gc.mem_free(), "heap_used": gc.mem_alloc(), "peer": self._link.peer}
        facts.update(self._facts)
        await self._reply(ident, 0, json.dumps(facts).encode())

    async def _do_reset(self, ident, body):
        import machine

        await self._reply(ident, 0, b"OK")
        await self._link.publish("~/mqb/status", self._status("offline", "reset command"), 1, True)
        machine.reset()

    async def _do_cancel(self, ident, tail):
        if tail in self._jobs:
            self._jobs[tail].cancel()
        await self._reply(ident, 0, b"OK")

    # Code.

    def _print(self, *values, **options):
        if "file" in options:
            return print(*values, **options)
        text = io.StringIO()
        print(*values, file=text, **options)
        self._output.append(text.getvalue())

    def _taken(self):
        text, self._output = "".join(self._output), []
        return text.encode()

    def _execute(self, source, file):
        """Run it; return the value of an expression."""
        self.names["print"] = self._print
        try:
            code = compile(source, file, _EXPRESSION)
        except SyntaxError:
            exec(compile(source, file, "exec"), self.names)
            return None
        return eval(code, self.names)

    async def _do_eval(self, ident, body):
        value = self._execute(str(body, "utf-8"), "<eval>")
        text = self._taken()
        await self._pieces(
            ident, 0, text if text and value is None else text + repr(value).encode()
        )

    async def _pieces(self, ident, number, data, last=True):
        while len(data) > _PIECE:
            await self._reply(ident, number, data[:_PIECE], False)
            number, data = number + 1, data[_PIECE:]
        if data or last:
            await self._reply(ident, number, data, last)
            number += 1
        return number

    async def _do_exec(self, ident, body):
        head, _, source = body.partition(b"\n")
        options = json.loads(head)
        await self._reply(ident, 0, json.dumps({"boot_id": self._boot_id}).encode(), False)
        told = {}
        try:
            value = self._execute(str(source, "utf-8"), str(options.get("file") or "<stdin>"))
            if value is not None and options.get("show"):
                self._print(repr(value))
            if options.get("await"):
                await self.names.pop(options["await"])()
        except SystemExit as error:
            if error.args and error.args[0]:
                told["exit"] = error.args[0]
        except asyncio.CancelledError:
            told["cancelled"] = True
        except Exception as error:
            told["error"] = _trace(error)
        number = await self._pieces(ident, 1, self._taken(), False)
        await self._reply(ident, number, json.dumps(told).encode())

    # Files.

    async def _do_ls(self, ident, body):
        wish = json.loads(body)
        await self._say(ident, _listed(wish))

    async def _do_stat(self, ident, body):
        wish = json.loads(body)
        records = []
        for path in wish["paths"]:
            size, mtime = _stat(path)
            if size == -1:
                records.append([path, -1])
            else:
                sha = _hash(path) if wish.get("sha") and size is not None else None
                records.append([path, size, mtime, sha])
        await self._say(ident, records + [{"done": len(records)}])

    async def _do_df(self, ident, body):
        found = os.statvfs("/")
        await self._say(ident, [["/", found[0] * found[2], found[0] * found[3]], {"done": 1}])

    async def _do_mkdir(self, ident, body):
        wish = json.loads(body)
        done = 0
        for path in wish["paths"]:
            parts = _path(path).split("/")
            for count in range(2 if wish.get("parents") else len(parts), len(parts) + 1):
                folder = "/".join(parts[:count])
                if not wish.get("parents") or _stat(folder)[0] == -1:
                    os.mkdir(folder)
                    done += 1
        await self._say(ident, [{"done": done}])

    async def _do_rm(self, ident, body):
        wish = json.loads(body)
        done = 0
        for path in wish["paths"]:
            if _stat(path)[0] == -1:
                if not wish.get("force"):
                    raise Fault("ENOENT", path)
            else:
                done += _remove(_path(path), path, wish.get("recursive"))
        await self._say(ident, [{"done": done}])

    async def _do_mv(self, ident, body):
        wish = json.loads(body)
        if _stat(wish["from"])[0] == -1:
            raise Fault("ENOENT", wish["from"])
        _replace(_path(wish["from"]), _path(wish["to"]))
        await self._say(ident, [{"done": 1}])

    async def _do_get(self, ident, body):
        items = json.loads(body)["files"]
        number = 0
        for index, (path, offset, left) in enumerate(items):
            size, mtime = _stat(path)
            last = index == len(items) - 1
            if size is None or size < 0:
                record = {"error": "EISDIR" if size is None else "ENOENT", "path": path}
                await self._reply(ident, number, b"\2" + json.dumps(record).encode(), last)
                number += 1
                continue
            with open(_path(path), "rb") as file:
                file.seek(offset)
                while left:
                    data = file.read(min(left, _PIECE))
                    if not data:
                        break
                    left -= len(data)
                    await self._reply(ident, number, b"\0" + data, False)
                    number += 1
            await self._reply(ident, number, b"\1" + struct.pack(">IIB", size, mtime, 0), last)
            number += 1

    async def _take_put(self, ident, number, last, data):
        """Take a part of a file; it is there when all of it is, and has the right hash."""
        if not number:
            size = struct.unpack(">H", data[:2])[0]
            self._put = _Put(ident, json.loads(data[2 : 2 + size]))
            data = data[2 + size :]
        put = self._put
        if not put or put.ident != ident:
            raise Fault("superseded", "")
        if number != put.parts:
            raise Fault("gap", put.path)
        record = put.take(data, last)
        if last:
            self._put = None
        await self._reply(ident, number, json.dumps(record).encode() + b"\n", last)


class _Put:
    def __init__(self, ident, head):
        self.ident = ident
        self.path = head["path"]
        self.parts = 0
        self._head = head
        self._have = 0
        if head.get("parents"):
            parts = _path(self.path).split("/")
            for count in range(2, len(parts)):
                if _stat("/".join(parts[:count]))[0] == -1:
                    os.mkdir("/".join(parts[:count]))
        self._file = open(_NEW, "wb")  # noqa: SIM115 (it spans messages)

    def take(self, data, last):
        """Write a part; return what there is to say."""
        self.parts += 1
        self._file.write(data)
        self._have += len(data)
        if not last:
            return {"have": self._have, "credit": 0}
        self._file.close()
        sha = _hash(_NEW)
        if sha != self._head["sha256"]:
            os.remove(_NEW)
            raise Fault("hash", self.path)
        _replace(_NEW, _path(self.path))
        return {"size": self._have, "sha256": sha}


def _path(path):
    parts = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _stat(path):
    """Return (size, mtime): None for a folder's size, -1 where there is nothing."""
    try:
        found = os.stat(_path(path))
    except OSError:
        return -1, 0
    return (None if found[0] & 0x4000 else found[6]), max(0, int(found[8]))


def _hash(path):
    digest = hashlib.sha256()
    with open(_path(path), "rb") as file:
        while True:
            data = file.read(_PIECE)
            if not data:
                return str(binascii.hexlify(digest.digest()), "ascii")
            digest.update(data)


def _listed(wish):
    """Return what `ls` says, entry by entry."""
    top = _path(wish["path"])
    size, mtime = _stat(top)
    if size == -1:
        raise Fault("ENOENT", wish["path"])
    if size is not None:
        return [_entry(wish, top, top.split("/")[-1]), {"done": 1}]
    records = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for name in os.listdir(_path(top + "/" + folder)):
            record = _entry(wish, top + "/" + folder + name, folder + name)
            if "/" + name != _NEW:
                records.append(record)
            if record[1] is None and wish.get("recursive"):
                folders.append(folder + name + "/")
    return records + [{"done": len(records)}]


def _entry(wish, path, name):
    size, mtime = _stat(path)
    entry = [name, size]
    if wish.get("times") or wish.get("sha"):
        entry.append(mtime if wish.get("times") else None)
    if wish.get("sha") and size is not None:
        entry.append(_hash(path))
    return entry


def _remove(place, path, recursive):
    """Remove a file, or a folder with all that is in it; return how many that were."""
    if _stat(place)[0] is not None:
        os.remove(place)
        return 1
    if not recursive:
        raise Fault("EISDIR", path)
    if place == "/":
        raise Fault("EBUSY", path)
    done = 1
    for name in os.listdir(place):
        done += _remove(place + "/" + name, path, True)
    os.rmdir(place)
    return done


def _replace(source, target):
    try:
        os.rename(source, target)
    except OSError:  # FAT replaces nothing
        if _stat(target)[0] in (-1, None):
            raise
        os.remove(target)
        os.rename(source, target)


def _trace(error):
    text = io.StringIO()
    sys.print_exception(error, text)
    return text.getvalue()

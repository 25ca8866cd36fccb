"""Answers `get`: pieces of files, and for the first MQBoard's tool a whole one.

Nothing about a file is kept from one command to the next: the host asks for what it has not got.
"""

from micropython import const

from mqboard.files import places
from mqboard.files.errors import Fault, fault_of, line
from mqboard.files.wish import texts
from mqwire import HEADER_SIZE, header, reply_topic
from mqwire.files import DATA, END, FAULT, KIND_SIZE, MALFORMED, MAX_CHUNK, pack_end

_BEFORE = const(3)  # bytes of a message before the data: header and kind
_RECENT_S = const(2)  # a file that was written so lately may be written again, and look the same
_ACKNOWLEDGED = const(8)  # every so many messages one waits until the broker has it


async def get(files, request, wish):
    """Send items of `files`, [path, offset, length] each: their bytes, and how each of them ended.

    With a tail: the file of that name.
    """
    if request.tail:
        await _whole(files, request)
        return
    items = texts(wish, "files")
    for number, item in enumerate(items):
        try:
            kind, body = END, await _send(files, request, item)
        except Fault as fault:
            kind, body = FAULT, line(fault.facts)
        last = number == len(items) - 1
        await request.reply(bytes((kind,)) + body, last, 1 if last else 0)
    if not items:
        await request.reply(bytes((END,)) + pack_end(0, 0, True))


async def _send(files, request, item):
    """Send an item; return the body of its END; raise Fault."""
    try:
        path, offset, left = item
        if offset < 0 or not 0 <= left <= MAX_CHUNK:
            raise ValueError
    except (ValueError, TypeError):
        raise Fault(MALFORMED, "", text="an item is [path, offset, length]")
    place = files.place(path)
    found = places.stat(place)
    if found is None:
        raise Fault("ENOENT", path)
    if found[0] is None:
        raise Fault("EISDIR", path)
    buffer = files.piece()
    buffer[HEADER_SIZE] = DATA
    turns = 0
    try:
        with open(place, "rb") as file:
            if offset:
                file.seek(offset)
            while left:
                most = min(left, len(buffer) - _BEFORE)
                count = file.readinto(buffer[_BEFORE : _BEFORE + most])
                if not count:
                    break
                left -= count
                await _say(files, request, buffer[: _BEFORE + count], 0)
                if left:
                    turns += 1
                    await files.rest()
    except OSError as error:
        raise fault_of(error, path)
    same = not turns
    if turns:
        same = places.stat(place) == found and places.now() - found[1] > _RECENT_S
    return pack_end(found[0], found[1], same)


async def _whole(files, request):
    """Send a whole file as the first MQBoard did: its bytes, then an empty message, the last."""
    place = files.place(request.tail)
    buffer = files.piece()
    first = KIND_SIZE  # there is no kind, and the header stands right before the data
    try:
        with open(place, "rb") as file:
            while True:
                count = file.readinto(buffer[_BEFORE:])
                if not count:
                    break
                acknowledged = request.sequence % _ACKNOWLEDGED == _ACKNOWLEDGED - 1
                await _say(files, request, buffer[first : _BEFORE + count], acknowledged)
                await files.rest()
    except OSError as error:
        await request.error(b"get: %s: %s" % (request.tail.encode(), str(error).encode()))
        return
    await request.reply()


async def _say(files, request, message, qos):
    """Send a message that is all in a buffer, but for its header, which is put there."""
    message[:HEADER_SIZE] = header(request.sequence, False)
    request.sequence += 1
    await files.router.publish(reply_topic(request.prefix, request.ident), message, qos)

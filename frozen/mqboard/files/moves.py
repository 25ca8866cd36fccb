"""Moves and copies files and folders on the board."""

import hashlib
import os

from mqboard.files import places, room
from mqboard.files.changes import make_folders
from mqboard.files.errors import Fault, fault_of
from mqboard.files.wish import text
from mqwire.files import HASH


async def mv(files, request, wish):
    """Move or rename `from` to `to`: at once, whatever it is. A file takes the place of a file, a
    folder that of an empty folder.
    """
    source, target = _ends(files, wish)
    if source != target:
        if places.stat(source)[0] is not None:
            room.check(files, target)
        try:
            os.rename(source, target)
        except OSError as error:
            raise fault_of(error, files.shown(target))
    return {"done": 1}


async def cp(files, request, wish):
    """Copy the file `from` to `to`, or with `recursive` a folder with all that is in it: what is in
    `to` and not in `from` stays. A file is there whole, or as it was.
    """
    source, target = _ends(files, wish)
    size = places.stat(source)[0]
    if size is not None:
        await _copy(files, request, source, target, size)
        return {"done": 1}
    if not wish.get("recursive"):
        raise Fault("EISDIR", files.shown(source))
    done = 0
    folders = [(source, target)]
    while folders:
        source, target = folders.pop()
        make_folders(files, target)
        with places.Listing(source) as listed:
            for name, size in listed:
                ends = places.join(source, name), places.join(target, name)
                if size is None:
                    folders.append(ends)
                else:
                    await _copy(files, request, ends[0], ends[1], size)
                    done += 1
                await files.turn(request, done=done)
    return {"done": done}


def _ends(files, wish):
    """Return source and target; raise Fault if there is no source, or the target is inside it."""
    source = files.place(text(wish, "from"))
    target = files.place(text(wish, "to"))
    if places.stat(source) is None:
        raise Fault("ENOENT", files.shown(source))
    if files.shown(source) == "/" or target.startswith(source + "/"):
        raise Fault("EINVAL", files.shown(target), text="it is inside of what it is made from")
    return source, target


async def _copy(files, request, source, target, size):
    """Copy a file, by way of an unfinished one."""
    if source == target:
        return
    room.check(files, target)
    temporary = room.temporary(files, target, request.ident.encode())
    busy = [temporary] + (files.puts.temporaries() if files.puts else [])
    files.room(target).take(size, busy)
    digest = hashlib.sha256()
    try:
        buffer = files.piece()
        with open(source, "rb") as old, open(temporary, "wb") as new:
            while True:
                count = old.readinto(buffer)
                if not count:
                    break
                new.write(buffer[:count])
                digest.update(buffer[:count])
                await files.turn(request)
        if await files.hash(request, temporary) != digest.digest().hex():
            raise Fault(HASH, files.shown(target))
        os.rename(temporary, target)
    except BaseException as error:
        try:
            os.remove(temporary)
        except OSError:  # it was not made, or has its name already
            pass
        if isinstance(error, OSError):
            raise fault_of(error, files.shown(target))
        raise

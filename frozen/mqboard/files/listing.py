"""Lists files: `ls` what is in a folder, `stat` what is known of some, `df` how full it is."""

import os

from mqboard.files import places
from mqboard.files.errors import Fault, fault_of
from mqboard.files.wish import text, texts


async def ls(files, request, wish):
    """Say [name, size, mtime, sha256] of everything in a folder; names are paths from there.

    The size of a folder is null. With `recursive` what is in folders, too; without `times` and
    `sha` there are none, and with `sha` alone the time is null. Of a file that cannot be read the
    hash is null.
    """
    top = files.place(text(wish, "path"))
    found = places.stat(top)
    if found is None:
        raise Fault("ENOENT", files.shown(top))
    if found[0] is not None:  # a file is all that is in it
        name = top.rpartition("/")[2]
        await files.say(request, await _entry(files, request, wish, top, name, found[0]))
        return {"done": 1}
    done = 0
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with places.Listing(places.join(top, folder[:-1]) if folder else top) as listed:
                for name, size in listed:
                    name = folder + name
                    place = places.join(top, name)
                    await files.say(request, await _entry(files, request, wish, place, name, size))
                    done += 1
                    if size is None and wish.get("recursive"):
                        folders.append(name + "/")
                    await files.turn(request, done=done)
        except Fault as fault:
            if not folder or fault.code not in ("ENOENT", "ENOTDIR"):
                raise
            # It was removed meanwhile.
    return {"done": done}


async def _entry(files, request, wish, place, name, size):
    entry = [name, size]
    if wish.get("times"):
        found = places.stat(place)
        entry.append(found[1] if found else 0)
    elif wish.get("sha"):
        entry.append(None)  # to look takes as long as to hash a small file
    if wish.get("sha") and size is not None:
        try:
            entry.append(await files.hash(request, place))
        except OSError:
            entry.append(None)
    return entry


async def stat(files, request, wish):
    """Say [path, size, mtime, sha256] of each of `paths`, as `ls` does; -1 of what is not there."""
    paths = texts(wish, "paths")
    for path in paths:
        place = files.place(path)
        found = places.stat(place)
        if found is None:
            await files.say(request, [path, -1])
            continue
        entry = [path, found[0], found[1]]
        if wish.get("sha") and found[0] is not None:
            try:
                entry.append(await files.hash(request, place))
            except OSError as error:
                raise fault_of(error, path)
        await files.say(request, entry)
        await files.turn(request)
    return {"done": len(paths)}


async def df(files, request, wish):
    """Say [path, bytes in all, bytes free] of each filesystem."""
    mounts = places.mounts()
    for mount in mounts:
        try:
            found = os.statvfs(mount)
        except OSError:
            continue  # such as one of another kind
        free = places.free_blocks(found)
        await files.say(request, [mount, found[0] * found[2], found[0] * free])
    return {"done": len(mounts)}

"""Removes files, makes and removes folders, and touches files. Each stops at the first fault."""

import os

from mqboard.files import places
from mqboard.files.errors import Fault, fault_of
from mqboard.files.wish import texts

_AT_ONCE = 32  # names of a folder that are kept in memory while it is emptied


async def rm(files, request, wish):
    """Remove files, and with `recursive` folders with all that is in them; with `force` it does not
    matter if there are none.
    """
    done = 0
    for path in texts(wish, "paths"):
        place = files.place(path)
        found = places.stat(place)
        if found is None:
            if not wish.get("force"):
                raise Fault("ENOENT", path, done=done)
        elif found[0] is not None:
            _do(os.remove, place, path, done)
            done += 1
        elif not wish.get("recursive"):
            raise Fault("EISDIR", path, done=done)
        elif files.shown(place) == "/":
            raise Fault("EBUSY", "/", done=done)
        else:
            done = await _remove_tree(files, request, place, done)
        await files.turn(request, done=done)
    return {"done": done}


async def _remove_tree(files, request, top, done):
    """Remove a folder with all that is in it; return how much has been removed."""
    folders = [top]
    while folders:
        folder = folders[-1]
        some = _some(folder)
        for place, size in some:
            if size is None:
                folders.append(place)
                break  # first what is in it
            _do(os.remove, place, files.shown(place), done)
            done += 1
            await files.turn(request, done=done)
        if not some:
            _do(os.rmdir, folders.pop(), files.shown(folder), done)
            done += 1
    return done


def _some(folder):
    """Return some of what is in a folder, unfinished files, too: (place, size) each."""
    some = []
    with places.Listing(folder, unfinished=True) as listed:
        for name, size in listed:
            if len(some) < _AT_ONCE:
                some.append((places.join(folder, name), size))
    return some


async def rmdir(files, request, wish):
    """Remove folders that are empty."""
    done = 0
    for path in texts(wish, "paths"):
        place = files.place(path)
        found = places.stat(place)
        if found and found[0] is not None:
            raise Fault("ENOTDIR", path, done=done)
        if files.shown(place) == "/":
            raise Fault("EBUSY", "/", done=done)
        _do(os.rmdir, place, path, done)
        done += 1
        await files.turn(request, done=done)
    return {"done": done}


async def mkdir(files, request, wish):
    """Make folders; with `parents` also those that they are in, and those that are there are fine.

    Says how many were made.
    """
    done = 0
    for path in texts(wish, "paths"):
        place = files.place(path)
        if wish.get("parents"):
            done += make_folders(files, place)
        else:
            _do(os.mkdir, place, path, done)
            done += 1
        await files.turn(request, done=done)
    return {"done": done}


def make_folders(files, place):
    """Make a folder, and those that it is in, where they are missing; return how many. Raises
    Fault.
    """
    missing = []
    while True:
        found = places.stat(place)
        if found:
            if found[0] is not None:
                raise Fault("ENOTDIR", files.shown(place))
            break
        missing.append(place)
        place = places.parent(place)
        if missing[-1] == place:
            break
    for place in reversed(missing):
        _do(os.mkdir, place, files.shown(place), 0)
    return len(missing)


async def touch(files, request, wish):
    """Make files that are missing, empty, and set the time of those that are there to now."""
    done = 0
    for path in texts(wish, "paths"):
        place = files.place(path)
        found = places.stat(place)
        if found and found[0] is None:
            raise Fault("EISDIR", path, done=done)
        try:
            open(place, "ab").close()  # LittleFS writes the time of what is opened to be written
        except OSError as error:
            raise fault_of(error, path)
        done += 1
        await files.turn(request, done=done)
    return {"done": done}


def _do(work, place, path, done):
    try:
        work(place)
    except OSError as error:
        fault = fault_of(error, path)
        fault.facts["done"] = done
        raise fault

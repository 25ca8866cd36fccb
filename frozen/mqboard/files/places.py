"""Decides what a path means: always a place in the board's own filesystem, whatever it is like."""

import os

import utime  # whatever stands in for `time`: this is the clock by which the filesystem writes

from mqboard.files.errors import Fault, fault_of
from mqwire.files import MALFORMED, MAX_FILE_NAME, is_temporary

_FOLDER = 0x4000
_MOST_ERRORS = 1000
_FROM_2000 = 946684800


def normal(path):
    """Return `path` absolute, without empty names, `.` and `..`; raise Fault.

    It begins at the root folder, which `..` does not leave.
    """
    if not isinstance(path, str) or "\0" in path:
        raise Fault(MALFORMED, repr(path)[:80])
    names = []
    for name in path.split("/"):
        if name == "..":
            if names:
                names.pop()
        elif name and name != ".":
            if _size(name) > MAX_FILE_NAME:
                raise Fault("ENAMETOOLONG", path)
            names.append(name)
    return "/" + "/".join(names)


def _size(name):
    """Return how many bytes of UTF-8 `name` has; raise Fault if it is no text that has any."""
    try:
        data = name.encode()
    except UnicodeError:  # CPython's, of surrogates
        raise Fault(MALFORMED, "")
    place = data.find(b"\xed")
    while place >= 0:
        if data[place + 1] >= 0xA0:  # nor are these UTF-8: nobody could read a listing with them
            raise Fault(MALFORMED, "")
        place = data.find(b"\xed", place + 1)
    return len(data)


def parent(path):
    """Return the folder that a normal path is in."""
    return path.rpartition("/")[0] or "/"


def join(folder, name):
    """Return the path of `name` in `folder`."""
    return folder + name if folder.endswith("/") else folder + "/" + name


def now():
    """Return the time as the filesystem would write it, in seconds since 1970."""
    return unix(int(utime.time()))


def unix(seconds):
    """Return a time of the port's, which may count from 2000, in seconds since 1970."""
    return seconds + (_FROM_2000 if utime.gmtime(0)[0] == 2000 else 0)


def stat(path):
    """Return (size, mtime) of what is there, size None: a folder; None if there is nothing.

    mtime is in seconds since 1970, 0 where there is none.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        if error.args[0] in (2, 20):  # ENOENT; ENOTDIR: nothing can be in a file
            return None
        raise fault_of(error, path)
    return (None if found[0] & _FOLDER else found[6]), found[8] and unix(found[8])


class Listing:
    """Iterates over (name, size) of what is in a folder, size None: a folder; raises Fault.

    Use it in a `with` block. LittleFS knows of each folder that is being listed. One that is left
    to the garbage collector is taken off its list in the middle of something else that goes through
    it: on a block device in Python that ends the board.
    """

    def __init__(self, path, unfinished=False):
        self._path = path
        self._unfinished = unfinished
        try:
            self._entries = os.ilistdir(path)
        except OSError as error:
            raise fault_of(error, path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(_MOST_ERRORS):
            try:
                for _ in self._entries:  # to the end, where it is closed
                    pass
                return
            except (OSError, UnicodeError, MemoryError):
                pass

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            try:
                entry = next(self._entries)
            except OSError as error:
                raise fault_of(error, self._path)
            except UnicodeError:  # of a damaged filesystem
                raise Fault("ECORRUPT", self._path)
            if self._unfinished or not is_temporary(entry[0]):
                return entry[0], None if entry[1] == _FOLDER else entry[3]


def mounts():
    """Return where filesystems are mounted, the longest path first."""
    try:
        import vfs

        return sorted([path for _, path in vfs.mount()], key=len, reverse=True)
    except (ImportError, TypeError, AttributeError):  # MicroPython before 1.25 does not tell
        return ["/"]


def home(path, root="/"):
    """Return the root folder of the filesystem that a normal path is in."""
    for mount in mounts():
        if path.startswith(mount if mount == "/" else mount + "/"):
            return mount if mount != "/" else root
    return root


def free_blocks(found):
    """Return how many blocks are free, by what os.statvfs gave.

    LittleFS counts some blocks twice; of a full filesystem less than nothing is free then, which
    is told as four billion.
    """
    return found[3] if found[3] <= found[2] else 0


def leftovers(folder):
    """Return (mtime, path) of unfinished files in a root folder."""
    with Listing(folder, unfinished=True) as listed:
        names = [name for name, _ in listed if is_temporary(name)]
    paths = [join(folder, name) for name in names]
    return [(os.stat(path)[8], path) for path in paths]

"""Makes unfinished files: finds room for them, and clears away those that nobody goes on with."""

import hashlib
import os

from micropython import const

from mqboard.files import places
from mqboard.files.errors import Fault
from mqwire.files import GUARDED, TEMP, TEMP_SIZE

_SPARE = const(4)  # blocks that have to be left: a full filesystem cannot even remove
_CONFIG = "/config.json"  # a wrong one would be the end of all management: it needs a trial
_KEPT = const(2)  # unfinished files that may lie about, the newest


def temporary(files, place, what):
    """Return where the unfinished file for `place` lies; `what` (bytes) tells it from others."""
    digest = hashlib.sha256(place.encode() + b"\0" + what).digest().hex()
    return places.join(files.home(place), TEMP + digest[: TEMP_SIZE - len(TEMP)])


def check(files, place):
    """Raise Fault unless a file can come to be at `place`."""
    if files.shown(place) == _CONFIG:
        raise Fault(GUARDED, _CONFIG)
    found = places.stat(place)
    if found and found[0] is None:
        raise Fault("EISDIR", files.shown(place))
    folder = places.parent(place)
    found = places.stat(folder)
    if not found:
        raise Fault("ENOENT", files.shown(folder))
    if found[0] is not None:
        raise Fault("ENOTDIR", files.shown(folder))


class Room:
    """Knows how much room there is in the filesystem of a root folder, without asking each time."""

    def __init__(self, folder):
        self.folder = folder
        self._block = self._free = 0

    def take(self, size, busy):
        """Take room for `size` bytes more; raise Fault if there is not as much.

        `busy` are paths of unfinished files that somebody goes on with. When room is short the
        others are removed.
        """
        for attempt in range(2):
            # What is known may be old: who writes files tells us not.
            if not self._fits(size):
                self._look()
            if self._fits(size):
                self._free -= self._blocks(size)
                return
            if attempt or not clear(self.folder, busy, 0):
                raise Fault(
                    "ENOSPC",
                    self.folder,
                    need=self._blocks(size) * self._block,
                    free=max(0, self._free - _SPARE) * self._block,
                )

    def _look(self):
        found = os.statvfs(self.folder)
        self._block, self._free = found[0], places.free_blocks(found)

    def _fits(self, size):
        return self._block and self._blocks(size) + _SPARE <= self._free

    def _blocks(self, size):
        # Each block of a file but the first has some pointers to earlier ones, two on average.
        return 1 + size // (self._block - 8)


def clear(folder, busy, keep=_KEPT):
    """Remove unfinished files in a root folder, but for the newest; return how many."""
    found = [each for each in places.leftovers(folder) if each[1] not in busy]
    found.sort()
    gone = found[: len(found) - keep] if keep else found
    for _, path in gone:
        os.remove(path)
    return len(gone)

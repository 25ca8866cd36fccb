"""Prepares the folder of an application beside the one that runs: finds out which files it has
already, copies those that another one has, and clears away what belongs to none.

Nothing here is needed twice: interrupted at any point, it begins anew and finds what is done.
"""

import asyncio
import binascii
import hashlib
import os

from micropython import const

from mqwire import app

_PIECE = const(1024)
_BLOCK = const(4096)  # what the filesystem takes for a file at a time
_INLINE = const(128)  # bytes of a file that stand where its name does
_NAME = const(40)  # bytes that a name takes besides itself
_COPIES = const(4)  # folders are pairs of blocks, and half full
_SPARE = const(4)  # blocks that stay free: the filesystem itself needs some
_FOLDER = const(0x4000)  # in the mode that os.stat gives
_EXISTS = const(17)
_META = const(4)  # blocks for the manifest, and what the filesystem writes about all of it
_MOST = const(128)  # files that are asked for at a time
_AT_ONCE = const(16)  # files, or their hashes, that are kept in memory


class Stage:
    """The folder of the application `manifest` (apps.manifest). `await breathe()` is called between
    pieces of work.
    """

    def __init__(self, manifest, breathe):
        self.manifest = manifest
        self.folder = "%s/%s" % (app.FOLDER, manifest.id)
        self.needed = 0  # bytes of flash, see `missing`
        self._breathe = breathe
        self._view = memoryview(bytearray(_PIECE))

    async def missing(self, most=_MOST):
        """Return the numbers of the files that are not there, or not as they must be, in order; at
        most so many. `needed` then has the bytes of flash that all of them take, at most.
        """
        found, folder, names = [], None, 0
        blocks = _META
        for number, (path, size, sha256) in enumerate(self.manifest.rows()):
            if await self._digest("%s/%s" % (self.folder, path), size) != sha256:
                if len(found) < most:
                    found.append(number)
                if path.rpartition("/")[0] != folder:
                    folder = path.rpartition("/")[0]
                    blocks += 2 * (1 + folder.count("/"))
                names += _NAME + len(path)
                if size <= _INLINE:
                    names += size
                else:
                    blocks += size // (_BLOCK - 8) + 1
        self.needed = blocks * _BLOCK + names * _COPIES
        return found

    async def wanted(self, numbers, others):
        """Return those of the files `numbers` that none of the applications `others` (manifests)
        has.
        """
        found = []
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            own = await self._sources(some, others)
            found.extend([number for number in some if number not in own])
        return found

    async def copy(self, numbers, others):
        """Copy those of the files `numbers` that one of the applications `others` (manifests) has;
        return how many that were. Raises OSError.
        """
        copied = 0
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            sources = await self._sources(some, others)
            for number, path, size, sha256 in self.manifest.chosen(some):
                source = sources.get(number)
                if source and await self._digest(source, size) == sha256:
                    self._make_folders(path)
                    await self._copy(source, "%s/%s" % (self.folder, path))
                    copied += 1
        return copied

    async def _sources(self, numbers, others):
        """Return where those of the files `numbers` are that are in `others`: {number: path}."""
        sources = {}
        for other in others:
            folder = "%s/%s" % (app.FOLDER, other.id)
            wanted = {}
            for number, _, _, sha256 in self.manifest.chosen(numbers):
                wanted.setdefault(sha256, []).append(number)
            for path, _, sha256 in other.rows():
                for number in wanted.get(sha256, ()):
                    sources[number] = "%s/%s" % (folder, path)
                await self._breathe()
        return sources

    async def clear(self, folder=""):
        """Remove what is in the folder and not in the manifest."""
        if not _exists(self.folder):
            return
        while await self._clear_some(folder):
            pass

    async def _clear_some(self, folder):
        """Look through one folder; return whether something was removed, and there may be more."""
        place = self.folder + "/" + folder
        for some in _in_portions(place[:-1]):
            known = self.manifest.names(folder, some)
            for name in some:
                if known.get(name) is not _is_folder(place + name):
                    await remove(place + name)
                    return True
                if known[name]:
                    await self.clear(folder + name + "/")
            await self._breathe()
        return False

    def _make_folders(self, path):
        """Make the folders that the file `path` is in."""
        path = self.folder + "/" + path
        for end in range(len(app.FOLDER) + 1, len(path)):
            if path[end] == "/":
                _make_folder(path[:end])

    async def _copy(self, source, target):
        with open(source, "rb") as old, open(target, "wb") as new:
            while True:
                size = old.readinto(self._view)
                if not size:
                    break
                new.write(self._view[:size])
                await self._breathe()

    async def _digest(self, path, size):
        """Return the SHA-256 of a file as hex text, "" if there is none of that size."""
        try:
            if os.stat(path)[6] != size:
                return ""
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while True:
                    size = file.readinto(self._view)
                    if not size:
                        break
                    digest.update(self._view[:size])
                    await self._breathe()
        except OSError:  # there is none, or it cannot be read
            return ""
        return str(binascii.hexlify(digest.digest()), "ascii")


def free_bytes():
    """Return how many bytes of flash the filesystem has for files."""
    from mqboard.files.places import free_blocks  # not for a boot that only tidies

    facts = os.statvfs("/")
    return max(0, free_blocks(facts) * facts[1] - _SPARE * _BLOCK)


async def tidy(ids):
    """Remove all applications but `ids`. Raises OSError."""
    try:
        names = os.listdir(app.FOLDER)
    except OSError:
        return
    for name in names:
        if name.split(".", 1)[0] not in ids:
            await remove("%s/%s" % (app.FOLDER, name))


async def remove(path):
    """Remove a file, or a folder with all that is in it. Raises OSError."""
    if not _is_folder(path):
        os.remove(path)
        return
    while True:
        some = next(_in_portions(path), None)
        if not some:
            break
        for name in some:
            await remove("%s/%s" % (path, name))
        await asyncio.sleep(0)
    os.rmdir(path)


def _in_portions(path):
    """Yield the names in a folder, some at a time: a list of all of them may be too long."""
    some = []
    for entry in os.ilistdir(path):
        some.append(entry[0])
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _make_folder(path):
    if _exists(path) and not _is_folder(path):
        os.remove(path)
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno != _EXISTS:
            raise


def _is_folder(path):
    return bool(os.stat(path)[0] & _FOLDER)


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False

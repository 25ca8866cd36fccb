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
_SPARE = const(4)  # blocks that stay free: the filesystem itself needs some
_FOLDER = const(0x4000)  # in the mode that os.stat gives
_EXISTS = const(17)


class Stage:
    """The folder of the application `manifest` (apps.manifest). `await breathe()` is called between
    pieces of work.
    """

    def __init__(self, manifest, breathe):
        self.manifest = manifest
        self.folder = "%s/%s" % (app.FOLDER, manifest.id)
        self._breathe = breathe
        self._view = memoryview(bytearray(_PIECE))

    async def missing(self):
        """Return the numbers of the files that are not there, or not as they must be."""
        found = []
        for number, (path, size, sha256) in enumerate(self.manifest.files):
            if await self._digest("%s/%s" % (self.folder, path), size) != sha256:
                found.append(number)
        return found

    def blocks(self, numbers):
        """Return how many blocks of flash these files, and all folders, take at most."""
        sizes = [self.manifest.files[number][1] for number in numbers]
        return sum([size // _BLOCK + 1 for size in sizes]) + 2 * len(self.manifest.folders()) + 4

    def make_folders(self):
        """Make all folders that it has. Raises OSError."""
        paths = [self.folder]
        paths.extend(["%s/%s" % (self.folder, folder) for folder in self.manifest.folders()])
        for path in paths:
            if _exists(path) and not _is_folder(path):
                os.remove(path)
            try:
                os.mkdir(path)
            except OSError as error:
                if error.errno != _EXISTS:
                    raise

    def wanted(self, numbers, others):
        """Return those of the files `numbers` that none of the applications `others` has."""
        files = self.manifest.files
        return [number for number in numbers if not _find(others, *files[number][1:])]

    async def copy(self, numbers, others):
        """Copy those of the files `numbers` that one of the applications `others` (manifests) has;
        return how many that were. Raises OSError.
        """
        copied = 0
        for number in numbers:
            path, size, sha256 = self.manifest.files[number]
            source = _find(others, size, sha256)
            if source and await self._digest(source, size) == sha256:
                await self._copy(source, "%s/%s" % (self.folder, path))
                copied += 1
        return copied

    async def clear(self):
        """Remove what is in the folder and not in the manifest."""
        paths = [path for path, _, _ in self.manifest.files]
        await self._clear("", paths, self.manifest.folders())

    async def _clear(self, folder, paths, folders):
        for name in os.listdir(self.folder + folder):
            path = "%s/%s" % (folder, name)
            full = self.folder + path
            if not _is_folder(full):
                if path[1:] not in paths:
                    os.remove(full)
            elif path[1:] in folders:
                await self._clear(path, paths, folders)
            else:
                await remove(full)
            await self._breathe()

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


def free_blocks():
    """Return how many blocks the filesystem has for files."""
    facts = os.statvfs("/")
    return facts[3] * facts[1] // _BLOCK - _SPARE


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
    for name in os.listdir(path):
        await remove("%s/%s" % (path, name))
        await asyncio.sleep(0)
    os.rmdir(path)


def _find(others, size, sha256):
    for other in others:
        for path, its_size, its_sha256 in other.files:
            if its_size == size and its_sha256 == sha256:
                return "%s/%s/%s" % (app.FOLDER, other.id, path)
    return None


def _is_folder(path):
    return bool(os.stat(path)[0] & _FOLDER)


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False

"""Makes LittleFS images of the board's filesystem on the host, and looks into them.

LittleFS 2 with the parameters that MicroPython's VfsLfs2 has on a Partition, so that a board mounts
an image as its own, and so that what a board has written can be listed here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from littlefs import LittleFS, UserContext
from littlefs.errors import LittleFSError
from littlefs.lfs import LFSConfig

from mqhost.errors import UsageError

BLOCK = 4096
# VfsLfs2's defaults for readsize and progsize; with them its caches have 4 * 32 bytes.
_ACCESS = 32
PARAMETERS: dict[str, Any] = {
    "block_size": BLOCK,
    "read_size": _ACCESS,
    "prog_size": _ACCESS,
    "cache_size": 4 * _ACCESS,
    "lookahead_size": 32,
}
# The oldest layout that LittleFS 2 has: every MicroPython since 1.12 mounts it.
_DISK_VERSION = 0x00020000
# The root folder's pair of blocks; a small filesystem has nothing else to be listed from.
_ROOT = 2 * BLOCK


def blank_filesystem(size: int) -> LittleFS:
    """Make a LittleFS of `size` bytes with nothing in it; its image is `context.buffer`."""
    return LittleFS(block_count=size // BLOCK, disk_version=_DISK_VERSION, **PARAMETERS)


def make_filesystem(size: int, files: dict[str, bytes]) -> bytes:
    """Make a LittleFS image of `size` bytes with `files`, a dict of absolute paths to contents.

    Raises UsageError when they do not fit.
    """
    filesystem = blank_filesystem(size)
    path = ""
    try:
        for path, content in files.items():
            parent = str(Path(path).parent)
            if parent != "/":
                filesystem.makedirs(parent, exist_ok=True)
            with filesystem.open(path, "wb") as file:
                file.write(content)
    except LittleFSError as error:
        total = sum(map(len, files.values()))
        raise UsageError(
            f"{path} cannot be put into the board's filesystem of {size:,} B ({error}); "
            f"the files have {total:,} B together."
        ) from error
    return bytes(filesystem.context.buffer)


def list_files(read: Callable[[int, int], bytes], size: int) -> list[str]:
    """Return the paths of all files in the LittleFS of `size` bytes that `read` reads.

    Empty when there is no LittleFS. Reading from a chip takes its time: first only the root
    folder is read, and all the rest only when that does not tell everything.
    """
    for count in (_ROOT, size):
        part = _Part(read(0, count), size)
        try:
            files = _walk(part)
        except LittleFSError:
            files = []
        if not part.missed:
            break
    return files


def _walk(context: UserContext) -> list[str]:
    # block_count: what the filesystem itself says
    filesystem = LittleFS(context, mount=False, block_count=0, **PARAMETERS)
    filesystem.mount()
    found = []
    for folder, _, names in filesystem.walk("/"):
        found += [f"{folder.rstrip('/')}/{name}" for name in names]
    return sorted(found)


class _Part(UserContext):
    """The beginning of a filesystem; `missed` says whether what lies behind it was asked for."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(buffer=bytearray(data.ljust(size, b"\xff")))
        self._there = len(data)
        self.missed = False

    def read(self, cfg: LFSConfig, block: int, off: int, size: int) -> bytearray:
        self.missed = self.missed or block * cfg.block_size + off + size > self._there
        return super().read(cfg, block, off, size)

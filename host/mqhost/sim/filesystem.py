"""The board's flash before its first boot: the flash image, and a filesystem with /config.json.

`provision_flash` puts both into a new flash file. The filesystem is LittleFS with the parameters
that MicroPython's VfsLfs2 has on a Partition, so that the board mounts it as its own.
"""

import json
from pathlib import Path

from littlefs import LittleFS
from littlefs.errors import LittleFSError

from mqhost.errors import UsageError
from mqhost.partition import PartitionTable
from mqhost.sim.flash import Flash

FLASH_SIZE = 4 * 1024 * 1024

_BLOCK = 4096
# VfsLfs2's defaults for readsize and progsize; with them its caches have 4 * 32 bytes.
_ACCESS = 32
_LOOKAHEAD = 32
# The oldest layout that LittleFS 2 has: every MicroPython since 1.12 mounts it.
_DISK_VERSION = 0x00020000


def make_filesystem(size: int, files: dict[str, bytes]) -> bytes:
    """A LittleFS image of `size` bytes with `files`, a dict of absolute paths to contents.

    Raises UsageError when they do not fit.
    """
    filesystem = LittleFS(
        block_size=_BLOCK,
        block_count=size // _BLOCK,
        read_size=_ACCESS,
        prog_size=_ACCESS,
        cache_size=4 * _ACCESS,
        lookahead_size=_LOOKAHEAD,
        disk_version=_DISK_VERSION,
    )
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


def default_config(
    prefix: str,
    server: str,
    port: int,
    *,
    networks: dict[str, str] | None = None,
    health_s: float = 2,
    confirm_s: float = 60,
) -> dict:
    """The configuration of a simulated board: `/config.json` as a dict.

    `networks` maps SSIDs to passwords; the default is the network that simulated boards find.
    """
    known = {"simnet": "simpassword"} if networks is None else networks
    return {
        "prefix": prefix,
        "networks": [{"ssid": ssid, "password": password} for ssid, password in known.items()],
        "broker": {"host": server, "port": port},
        "log": {"level": "info"},
        "update": {"health_s": health_s, "confirm_s": confirm_s},
        "modules": {},
    }


def provision_flash(
    path: Path,
    flash_image: bytes | Path,
    table: PartitionTable,
    config: dict,
    *,
    files: dict[str, bytes] | None = None,
    size: int = FLASH_SIZE,
) -> bool:
    """Make the flash file `path` unless there is one; return whether it was made.

    `flash_image` (the build's flash.bin, or its bytes) stands at address 0; the filesystem in the
    vfs partition gets `config` as /config.json, and `files` (absolute paths to contents).
    """
    if path.exists():
        return False
    if isinstance(flash_image, Path):
        flash_image = _read(flash_image)
    vfs = table.find("vfs")
    if len(flash_image) > vfs.offset:
        raise UsageError(
            f"The flash image has {len(flash_image):,} B and reaches into the filesystem, which "
            f"begins at {vfs.offset:,}."
        )
    content = {"/config.json": json.dumps(config, indent=1).encode()} | (files or {})
    image = flash_image.ljust(vfs.offset, b"\xff") + make_filesystem(vfs.size, content)
    Flash.create(path, size, image)
    return True


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{image} is missing: there is no firmware for the simulated board yet. "
            "Build it: run invoke build --board sim."
        ) from error

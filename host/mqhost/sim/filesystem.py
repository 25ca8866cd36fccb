"""Makes the board's flash before its first boot: the flash image, and files with /config.json.

`provision_flash` puts both into a new flash file.
"""

import json
from pathlib import Path

from mqhost.errors import UsageError
from mqhost.flash.filesystem import make_filesystem
from mqhost.flash.partition import PartitionTable
from mqhost.paths import TASK
from mqhost.sim.flash import Flash

FLASH_SIZE = 4 * 1024 * 1024


def default_config(
    prefix: str,
    server: str,
    port: int,
    *,
    networks: dict[str, str] | None = None,
    health_s: float = 2,
    confirm_s: float = 60,
) -> dict:
    """Return the configuration of a simulated board: `/config.json` as a dict.

    `networks` maps SSIDs to passwords; the default is the network that simulated boards find.
    """
    known = {"simnet": "simpassword"} if networks is None else networks
    return {
        "prefix": prefix,
        "networks": [{"ssid": ssid, "password": password} for ssid, password in known.items()],
        "broker": {"host": server, "port": port, "tls": False},
        "ntp": "",
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
    text = json.dumps(config, indent=1, ensure_ascii=False)
    content = {"/config.json": text.encode()} | (files or {})
    image = flash_image.ljust(vfs.offset, b"\xff") + make_filesystem(vfs.size, content)
    Flash.create(path, size, image)
    return True


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{image} is missing: there is no firmware for the simulated board yet. "
            f"Build it: run {TASK} build --board {image.parent.name}."
        ) from error

"""Makes the images of a build: the app image, which goes into a slot, and the flash image, for USB.

On the unix port both are made here, around the executable. On the ESP32 port the build made them,
and here they are checked: an image for another chip, or one laid out by another partition table,
must not leave this machine. Those of a board with secure boot are signed here.
"""

from dataclasses import dataclass

from mqhost.build.board import Board
from mqhost.build.plan import Plan
from mqhost.build.revision import Revision
from mqhost.build.sources.source import Source
from mqhost.errors import BuildError
from mqhost.flash.espimage import build_app_image, verify
from mqhost.flash.partition import TABLE_SIZE, Partition, PartitionTable
from mqhost.signing.secure_boot import SecureBootKey


@dataclass(frozen=True)
class Images:
    """The images of a build. `app`: the app image; `flash`: the flash from the board's flash offset
    on, to the end of the app image in the first slot.
    """

    app: bytes
    flash: bytes


def make_images(
    board: Board,
    work: Plan,
    table: PartitionTable,
    revision: Revision,
    source: Source,
    secure_key: SecureBootKey | None = None,
) -> Images:
    """Make the images of what `work` compiled, signed for the chip with `secure_key`.

    Raises BuildError if the app image does not fit its slot, or the flash image is laid out
    otherwise than `table`; ImageError if the app image is damaged or for another chip.
    """
    compiled = work.executable.read_bytes()
    if work.flash is not None:
        check_fit(board, len(compiled), table.slots[0])
        verify(compiled, board.chip_id)
        flash = work.flash.read_bytes()
        _check_layout(board, compiled, flash, table)
        if secure_key:
            bootloader = (work.flash.parent / "bootloader" / "bootloader.bin").read_bytes()
            return _signed(board, compiled, bootloader, table, secure_key)
        return Images(compiled, flash)
    app = build_app_image(
        compiled,
        chip_id=board.chip_id,
        project=f"mqboard-{board.name}",
        version=revision.version,
        build_time=revision.time,
        idf_version=f"MicroPython {source.version}",
    )
    check_fit(board, len(app), table.slots[0])
    return Images(app, flash_image(app, table))


def check_fit(board: Board, size: int, slot: Partition) -> None:
    """Raise BuildError, with the numbers and what to do, if `size` bytes do not fit `slot`."""
    if size > slot.size:
        raise BuildError(
            f"app.bin is {size:,} B; slot {slot.label} holds {slot.size:,} B, "
            f"{size - slot.size:,} B too few. Remove modules from {board.manifest} or use a board "
            f"with larger slots ({board.layout_file})."
        )


def check_failed_fit(board: Board, work: Plan, table: PartitionTable, since: float) -> None:
    """Raise BuildError as `check_fit` if a failed build made an image, after the time `since`, that
    is too large: ESP-IDF looks too, and stops with numbers of its own."""
    if work.flash is None or not work.executable.is_file():
        return
    found = work.executable.stat()
    if found.st_mtime >= since and found.st_size > table.slots[0].size:
        # So that it is made, and noticed, again if nothing changes until the next build.
        (work.executable.parent / ".bin_timestamp").unlink(missing_ok=True)
        check_fit(board, found.st_size, table.slots[0])


def flash_image(app: bytes, table: PartitionTable) -> bytes:
    """Make the flash from address 0 to the end of `app` in the first slot, the gaps erased."""
    start = table.slots[0].offset
    before = b"\xff" * table.offset + table.to_bytes()
    return before.ljust(start, b"\xff") + app


def _signed(
    board: Board, app: bytes, bootloader: bytes, table: PartitionTable, key: SecureBootKey
) -> Images:
    """Return both images with bootloader and app signed for the chip; BuildError if they do not fit
    any more: a signature takes a sector, and the app ends at a multiple of 64 KiB before it."""
    app, bootloader = key.sign(app), key.sign(bootloader)
    check_fit(board, len(app), table.slots[0])
    room = table.offset - board.flash_offset
    if len(bootloader) > room:
        raise BuildError(
            f"The signed bootloader is {len(bootloader):,} B; there are {room:,} B before the "
            "partition table. Leave options out that make it larger (its log)."
        )
    before = bootloader.ljust(room, b"\xff") + table.to_bytes()
    return Images(app, before.ljust(table.slots[0].offset - board.flash_offset, b"\xff") + app)


def _check_layout(board: Board, app: bytes, flash: bytes, table: PartitionTable) -> None:
    """Raise BuildError unless table and app image stand in `flash` where the board has them."""
    at = table.offset - board.flash_offset
    found = PartitionTable.from_bytes(flash[at : at + TABLE_SIZE], table.offset)
    start = table.slots[0].offset - board.flash_offset
    if found != table or flash[start:] != app:
        raise BuildError(
            f"The flash image is not laid out as {board.layout_file} says, from flash offset "
            f"{board.flash_offset:#x} on. Does the board's mpconfigboard.cmake include "
            "../common/mqboard.cmake, and does flash_offset in board.toml fit the chip?"
        )

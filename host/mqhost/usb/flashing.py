"""Flashes a board over USB: the build's flash.bin, checked, onto the chip it was built for.

    build/<board>/flash.bin → Firmware → Target.write → read back

`Firmware` is what the build left, checked before anything is written; provisioning (provision.py)
writes its filesystem through the same targets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mqhost.build.board import Board
from mqhost.errors import ToolError, UsageError
from mqhost.flash.espimage import verify
from mqhost.flash.partition import TABLE_SIZE, PartitionTable
from mqhost.flash.sigblock import signed_by
from mqhost.paths import BUILD, TASK
from mqhost.progress import Progress, silent
from mqhost.usb.flash_tool import BAUD, Esptool
from mqhost.usb.serial_port import SIM, find_port
from mqhost.usb.sim_target import SimulatedTarget
from mqhost.usb.target import Piece, Target


@dataclass(frozen=True)
class Firmware:
    """A flash image, the address it belongs to, and what the build recorded: its version, and the
    settings, by name, of the modules that start of the application frozen into it."""

    board: Board
    table: PartitionTable
    path: Path
    offset: int
    data: bytes
    version: str
    modules: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, board: Board, folder: Path | None = None) -> "Firmware":
        """Read and check what `invoke build` left in `folder` (default: build/<board>).

        Raises UsageError: not built, another board's, damaged.
        """
        folder = folder or BUILD / board.name
        path = folder / "flash.bin"
        try:
            data = path.read_bytes()
            report = json.loads((folder / "build.json").read_bytes())
        except FileNotFoundError as error:
            raise UsageError(
                f"{error.filename} is missing: board {board.name} is not built. "
                f"Run {TASK} build --board {board.name}."
            ) from error
        except ValueError as error:
            raise UsageError(f"{folder / 'build.json'} is not JSON. Build again.") from error
        offset = report.get("flash_offset", board.flash_offset)
        table = board.table
        _check(data, offset, board, table, path)
        version, modules = report.get("version", "of unknown version"), report.get("application")
        return cls(board, table, path, offset, data, version, modules or {})

    @property
    def piece(self) -> Piece:
        """The flash image as what is to be written to a target."""
        return Piece(self.offset, self.data, "firmware")


def open_target(
    port: str | None, *, baud: int | None = None, progress: Progress = silent
) -> Target:
    """Open the target at `port`: a serial port, sim:PATH, or None for the only serial port."""
    if port and port.startswith(SIM):
        if port == SIM:
            raise UsageError("Name the simulated board's flash file: --port sim:PATH.")
        return SimulatedTarget(Path(port.removeprefix(SIM)).expanduser(), progress=progress)
    return Esptool(find_port(port), baud=baud or BAUD, progress=progress)


def check_kind(board: Board, port: str | None) -> None:
    """Raise UsageError if `board` is a simulated one and `port` is none of those."""
    if board.port == "unix" and not (port or "").startswith(SIM):
        raise UsageError(
            f"{board.name} is a simulated board: it has no serial port, but a flash file. "
            "Give it as --port sim:PATH, or choose a real board with --board."
        )


def check_burn(board: Board, burn: bool) -> None:
    """Raise UsageError, with what there is to know, if `board` is secured and nobody said that its
    chip may burn its eFuses."""
    if board.secure and not burn:
        steps = "\n".join(f"- {step}" for step in board.secure.steps(board.name))
        raise UsageError(
            f"{steps}\nNothing was written. To go on, with a chip that never ran a secured image: "
            "mqboard flash or mqboard provision, with --burn-efuses"
        )


def flash(
    board: Board,
    port: str | None = None,
    *,
    erase: bool = False,
    baud: int | None = None,
    folder: Path | None = None,
    burn: bool = False,
    progress: Progress = silent,
) -> str:
    """Write the board's firmware to the chip at `port`; return what was done, as a sentence.

    `burn`: a board that is secured may burn the eFuses of its chip when it boots. Without `erase`
    the filesystem and what is in it stays; the board starts in its first slot and has forgotten
    what it kept in NVS.
    """
    check_kind(board, port)
    firmware = Firmware.load(board, folder)
    check_burn(board, burn)
    target = open_target(port, baud=baud, progress=progress)
    chip = target.identify(board)
    target.write([firmware.piece], erase=erase)
    return (
        f"{target.where}: {chip}; wrote and verified {board.name} {firmware.version}, "
        f"{len(firmware.data):,} B at {firmware.offset:#x}."
    )


def _check(data: bytes, offset: int, board: Board, table: PartitionTable, path: Path) -> None:
    """Raise UsageError unless `data` is a flash image for `board`, with a whole app image in it."""
    start = table.offset - offset
    try:
        found = PartitionTable.from_bytes(data[start : start + TABLE_SIZE], table.offset)
    except UsageError as error:
        raise UsageError(f"{path} is no flash image for {board.name}: {error}") from error
    if found != table:
        raise UsageError(
            f"{path} was built with other partitions than {board.layout_file} has now. "
            f"Run {TASK} build --board {board.name} again."
        )
    slot = table.slots[0]
    app = memoryview(data)[slot.offset - offset :][: slot.size]
    try:
        verify(app, board.chip_id)
        signed = signed_by(app)
    except ToolError as error:
        raise UsageError(f"{path} cannot be flashed. {error}") from error
    if board.secure.secure_boot and not signed:
        raise UsageError(
            f"{path} is not signed for secure boot: the chip would burn its eFuses and start "
            f"nothing any more. Run {TASK} build --board {board.name} again."
        )

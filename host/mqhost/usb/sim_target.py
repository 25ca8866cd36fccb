"""Flashes a simulated board's flash file like a chip: `--port sim:PATH`.

A file that is not there is a new chip, blank; its file appears with the first write. One that a
running board uses is locked, and the error says so.
"""

from collections.abc import Sequence
from pathlib import Path

from mqhost.build.board import Board
from mqhost.errors import BoardError, UsageError
from mqhost.progress import Progress, silent
from mqhost.sim.flash import Flash
from mqhost.usb.target import Piece
from mqwire.flash import SECTOR


class SimulatedTarget:
    """The flash in file `path` (see `Target`), for a new one as large as the identified board's."""

    def __init__(self, path: Path, *, progress: Progress = silent) -> None:
        self.where = f"sim:{path}"
        self._path = path
        self._progress = progress
        self._size = 0

    def identify(self, board: Board) -> str:
        """Say what it is; UsageError unless `board` is simulated and its flash fits."""
        if board.port != "unix":
            raise UsageError(
                f"{self.where} is a simulated board; {board.name} is a real one, an {board.mcu}. "
                "Give a serial port, or --board sim."
            )
        self._size = board.flash_size
        if self._path.exists():
            with Flash(self._path) as flash:
                self._size = flash.size
        if self._size < board.flash_size:
            raise UsageError(
                f"{self._path} has {self._size:,} B; board {board.name} needs a flash of "
                f"{board.flash_size:,} B. Remove the file for a new one."
            )
        return f"simulated board with {self._size // 1024 // 1024} MB of flash"

    def read(self, address: int, size: int) -> bytes:
        """Read from the flash; a new one is blank."""
        if not self._path.exists():
            return b"\xff" * size
        with Flash(self._path) as flash:
            return flash.read(address, size)

    def write(self, pieces: Sequence[Piece], *, erase: bool = False) -> None:
        """Write `pieces` sector by sector and read them back."""
        if not self._path.exists():
            Flash.create(self._path, self._size)
        with Flash(self._path) as flash:
            if erase:
                self._progress("erasing", 0, 0)
                flash.erase(0, flash.size)
            for piece in pieces:
                self._write(flash, piece)
                if flash.read(piece.address, len(piece.data)) != piece.data:
                    raise BoardError(f"{self.where} does not hold what was written to it.")

    def _write(self, flash: Flash, piece: Piece) -> None:
        for start in range(0, len(piece.data), SECTOR):
            flash.erase(piece.address + start)
            flash.program(piece.address + start, piece.data[start : start + SECTOR])
            self._progress(f"writing {piece.name}", start, len(piece.data))
        self._progress(f"writing {piece.name}", len(piece.data), len(piece.data))

"""Defines what can be flashed: a chip at a serial port, or a simulated board's flash file.

Both (flash_tool.Esptool, sim_target.SimulatedTarget) offer the same few operations. Whatever is
written is read back and compared before `write` returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mqhost.build.board import Board


@dataclass(frozen=True)
class Piece:
    """Bytes and the address in flash where they belong, a multiple of 4096. `name` tells people."""

    address: int
    data: bytes
    name: str


class Target(Protocol):
    """A board's flash. `where` is its name in sentences."""

    where: str

    def identify(self, board: Board) -> str:
        """Return what is there, in a word or two; UsageError unless `board`'s firmware can run."""

    def read(self, address: int, size: int) -> bytes:
        """Return the `size` bytes from `address` on."""

    def write(self, pieces: Sequence[Piece], *, erase: bool = False) -> None:
        """Write and verify all `pieces`, after erasing everything if asked to; then reset."""

"""Simulates NOR flash: a file whose bits programming only clears and erasing a sector sets.

All changes go through `erase` and `program`, so that the NOR rules, the operation counters, the
latency and the power cuts are here and nowhere else. The file is mapped into memory: what is
written is at once what another process reads from the file. A lock keeps a second device off it.
"""

import fcntl
import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqwire.flash import SECTOR

# A typical ESP32 module's flash, per sector of 4 KiB (datasheet values of W25Q32JV parts).
ERASE_SECONDS = 0.045
PROGRAM_SECONDS = 0.011


class FlashError(ToolError):
    """Raised for a wrong use of the flash: an address that is not aligned or not there."""


class PowerLost(Exception):
    """Raised when power went during a flash operation, as `cut_power_after` asked for."""


@dataclass
class Counters:
    """Counts what the flash has done: operations of each kind, and bytes programmed."""

    erases: int = 0
    programs: int = 0
    programmed_bytes: int = 0

    @property
    def operations(self) -> int:
        """Erases and programs together."""
        return self.erases + self.programs


class Flash:
    """The flash in file `path`, locked until `close()`. Usable as a context manager.

    Raises UsageError when the file is missing, no flash, or in use by another device.
    """

    def __init__(self, path: Path):
        self.path = path
        self.counters = Counters()
        self.latency = False  # of erasing and programming
        self.read_seconds = 0.0  # that reading 4 KiB takes the board; the chip itself reads at once
        self._left: int | None = None
        self._partial = 0.0
        try:
            self._file = path.open("r+b")
        except OSError as error:
            raise UsageError(f"{path}: cannot open the flash: {error.strerror}.") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.size = os.fstat(self._file.fileno()).st_size
            if not self.size or self.size % SECTOR:
                raise UsageError(
                    f"{path} is no flash: it has {self.size} B, not a multiple of {SECTOR}."
                )
            self._map = mmap.mmap(self._file.fileno(), self.size)
        except BlockingIOError as error:
            self._file.close()
            raise UsageError(
                f"{path} is in use by another simulated board. Stop that one, or give this one a "
                "flash of its own."
            ) from error
        except BaseException:
            self._file.close()
            raise

    @staticmethod
    def create(path: Path, size: int, image: bytes = b"") -> None:
        """Make a flash file of `size` bytes with `image` at its start, the rest blank.

        The file appears whole or not at all. Raises UsageError if the image does not fit.
        """
        if len(image) > size:
            raise UsageError(f"The flash image has {len(image):,} B; the flash holds {size:,} B.")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(image.ljust(size, b"\xff"))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def read(self, address: int, size: int) -> bytes:
        """Return the `size` bytes from `address` on."""
        self._check(address, size)
        return self._map[address : address + size]

    def erase(self, address: int, size: int = SECTOR) -> None:
        """Set whole sectors to 0xFF, one operation each."""
        self._check(address, size)
        if address % SECTOR or size % SECTOR:
            raise FlashError(
                f"flash: erase of {size:#x} at {address:#x}: both must be multiples of {SECTOR:#x}."
            )
        for sector in range(address, address + size, SECTOR):
            done = self._spend(SECTOR)
            self._map[sector : sector + done] = b"\xff" * done
            self.counters.erases += 1
            if done < SECTOR or self._left == -1:
                self._lose_power()
            self._wait(ERASE_SECONDS)

    def program(self, address: int, data: bytes | memoryview) -> None:
        """Clear bits: each byte becomes old AND new. One operation for each sector touched."""
        self._check(address, len(data))
        view = memoryview(data)
        while view:
            piece = view[: SECTOR - address % SECTOR]
            done = self._spend(len(piece))
            old = int.from_bytes(self._map[address : address + done], "little")
            new = int.from_bytes(piece[:done], "little")
            self._map[address : address + done] = (old & new).to_bytes(done, "little")
            self.counters.programs += 1
            self.counters.programmed_bytes += done
            if done < len(piece) or self._left == -1:
                self._lose_power()
            self._wait(PROGRAM_SECONDS * len(piece) / SECTOR)
            address += len(piece)
            view = view[len(piece) :]

    def cut_power_after(self, operations: int | None, partial: float = 0.0) -> None:
        """Let `operations` more succeed; the next one raises PowerLost; None takes it back.

        `partial`, from 0.0 to 1.0, is how much of that one (its first bytes) still gets done.
        """
        if operations is not None and (operations < 0 or not 0.0 <= partial <= 1.0):
            raise ValueError("operations must not be negative, partial within 0.0 to 1.0")
        self._left, self._partial = operations, partial

    def close(self) -> None:
        """Write the file back and unlock it."""
        self._map.close()
        self._file.close()

    def __enter__(self) -> "Flash":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.size:
            raise FlashError(
                f"flash: {size:#x} at {address:#x} is outside of its {self.size:#x} bytes."
            )

    def _spend(self, size: int) -> int:
        """Return how many of `size` bytes get done; `_left` is -1 when power goes now."""
        if self._left is None:
            return size
        self._left -= 1
        return size if self._left >= 0 else int(size * self._partial)

    def _lose_power(self) -> None:
        self._left = None
        raise PowerLost(f"power lost at flash operation {self.counters.operations}")

    def _wait(self, seconds: float) -> None:
        if self.latency:
            time.sleep(seconds)

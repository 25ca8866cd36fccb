"""Makes simulated flash that can be copied and put back, and torn as real flash is."""

import contextlib
import random
from collections.abc import Iterator

from mqhost.sim.flash import SECTOR, Flash, PowerLost


class Torn(Flash):
    """A flash that can be copied and put back, and whose cut operations can leave any bits.

    With `noise` (a random.Random) the operation in which power goes leaves every byte it touched
    as a mixture of the old and the new bits, instead of the first bytes new and the rest old.
    """

    noise: random.Random | None = None

    def snapshot(self) -> bytes:
        """Return all bytes as they are."""
        return self._map[:]

    def restore(self, snapshot: bytes) -> None:
        """Put back what `snapshot` gave."""
        self._map[:] = snapshot
        self.cut_power_after(None)

    def erase(self, address: int, size: int = SECTOR) -> None:
        """Erase as Flash does; a cut operation may leave any bits."""
        for sector in range(address, address + size, SECTOR):
            with self._torn(sector, SECTOR):
                super().erase(sector)

    def program(self, address: int, data: bytes | memoryview) -> None:
        """Program as Flash does; a cut operation may leave any bits."""
        view = memoryview(data)
        while view:
            piece = view[: SECTOR - address % SECTOR]
            with self._torn(address, len(piece)):
                super().program(address, piece)
            address += len(piece)
            view = view[len(piece) :]

    @contextlib.contextmanager
    def _torn(self, address: int, size: int) -> Iterator[None]:
        old = self.read(address, size)
        try:
            yield
        except PowerLost:
            if self.noise:
                mask = self.noise.getrandbits(8 * size) | self.noise.getrandbits(8 * size)
                new = int.from_bytes(self.read(address, size), "big")
                mixed = (int.from_bytes(old, "big") & ~mask) | (new & mask)
                self._map[address : address + size] = mixed.to_bytes(size, "big")
            raise

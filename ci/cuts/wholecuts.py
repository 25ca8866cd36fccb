"""Cuts power in whole boots: the simulated board, real MicroPython, updated over a real broker.

What ci/cuts/powercuts.py does thousands of times with a board on the desk, some dozen times with
all of it real. One board goes back and forth between two images; each time power goes at a flash
operation chosen by chance, comes back, and the update is sent again.
"""

import contextlib
import random
import threading
from pathlib import Path

from ci.cuts.powercuts import Count
from mqhost.errors import ToolError
from mqhost.flash.partition import PartitionTable
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress, silent
from mqhost.signing.offer import Offer, load_image
from mqhost.sim.device import Device, State
from mqhost.sim.filesystem import default_config, provision_flash
from mqhost.update.push import push

_BOOT_SECONDS = 60.0
_TEARS = (0.0, 0.5, 1.0)
_Image = tuple[Offer, bytes]


class Bench:
    """A simulated board with its flash file in `folder`, made from `flash` (a flash.bin), between
    the two `images` (app.bin files; the first is in that flash). Use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        flash: Path,
        images: tuple[Path, Path],
        settings: Settings,
        table: PartitionTable,
    ):
        self.count = Count()
        self._images = [load_image(image) for image in images]
        self._session = Session(settings)
        self._table = table
        path = folder / "wholecuts.flash"
        server, port = settings.server, settings.port
        config = default_config(settings.need_prefix(), server, port, health_s=0.5)
        config["update"]["allow_downgrade"] = True
        provision_flash(path, flash, table, config)
        self._device = Device(path, table=table)

    def __enter__(self) -> "Bench":
        self._device.start()
        self._session.__enter__()
        self._wait_birth(0)
        return self

    def __exit__(self, *error: object) -> None:
        self._device.stop()
        self._session.connection.close()

    def run(self, cuts: int, seed: int = 0, progress: Progress = silent) -> Count:
        """Make `cuts` power cuts, each with its recovery; return the count, earlier runs included.

        Raises ToolError when not even an update without a cut succeeds.
        """
        chance = random.Random(seed)
        before = self._device.flash.counters.operations
        push(self._session, *self._images[1])
        length = self._device.flash.counters.operations - before
        for done in range(cuts):
            progress("cutting power, with whole boots", done, cuts)
            image = self._images[done % 2]
            at, tear = chance.randrange(length), chance.choice(_TEARS)
            try:
                self.count.cuts += 1
                self._cut(image, at, tear)
            except ToolError as error:
                self.count.bricks.append(f"whole boot, cut {done}, at {at}, tear {tear}: {error}")
                break  # there is nothing to go on with
        return self.count

    def _cut(self, image: _Image, at: int, tear: float) -> None:
        self._device.cut_power_after(at, tear)
        pushing = threading.Thread(target=self._try, args=(image,))
        pushing.start()
        self._device.wait_for(
            lambda device: device.state is State.OFF or not pushing.is_alive(), _BOOT_SECONDS
        )
        self._device.power_off()
        pushing.join()
        self._device.cut_power_after(None)
        births = self._session.births
        self._device.power_on()
        self._wait_birth(births)
        if not push(self._session, *image).already:
            self._check(image)

    def _try(self, image: _Image) -> None:
        with contextlib.suppress(ToolError):  # as it must end, when power goes
            push(self._session, *image, patience=2, confirm_timeout=10)

    def _wait_birth(self, births: int) -> None:
        """Wait until the board is there; what it runs must be one of the images, to the byte."""
        if not self._session.wait_status(lambda _: self._session.births > births, _BOOT_SECONDS):
            raise ToolError(f"it does not come back:\n{self._device.console.tail()}")
        self._check(*self._images)

    def _check(self, *images: _Image) -> None:
        status = self._session.last_status or {}
        slot = self._table.find(str(status.get("slot")))
        for offer, app in images:
            found = self._device.flash.read(slot.offset, len(app))
            if status.get("image") == offer.sha256 and found == app:
                return
        raise ToolError(f"it runs {status.get('image')} in {slot.label}")

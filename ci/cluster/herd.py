"""Runs many simulated boards, real MicroPython with our firmware, at one broker."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mqhost.flash.partition import PartitionTable
from mqhost.sim.broker import HOST
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash


@contextlib.contextmanager
def herd(
    folder: Path, flash: Path, table: PartitionTable, port: int, count: int, root: str = "sim"
) -> Iterator[list[Device]]:
    """Run `count` boards with the flash image `flash` at `root`/1 and so on, while the `with` block
    does.
    """
    with contextlib.ExitStack() as stack:
        devices = []
        for number in range(1, count + 1):
            path = folder / f"{root}-{number}.flash"
            config = default_config(f"{root}/{number}", HOST, port, health_s=0.5, confirm_s=120)
            provision_flash(path, flash, table, config)
            device = Device(path, table=table, name=f"{root} {number}")
            devices.append(stack.enter_context(device))
        yield devices

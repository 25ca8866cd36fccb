"""Boots a whole board from damaged filesystems: real firmware, over a real broker.

What the package does hundreds of times with a part of a boot, some times with all of it.
"""

from pathlib import Path

from ci.bench.idle import wait_settled
from ci.storage import Count
from ci.storage.damage import damaged
from mqhost.errors import ToolError
from mqhost.flash.partition import PartitionTable
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress, silent
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash

_BOOT_SECONDS = 120.0


def boot_whole(
    folder: Path,
    flash: Path,
    settings: Settings,
    table: PartitionTable,
    cases: int,
    progress: Progress = silent,
) -> Count:
    """Damage the filesystem of a board `cases` times; each time it must be there again."""
    count = Count()
    path = folder / "storage-whole.flash"
    config = default_config(settings.need_prefix(), settings.server, settings.port, health_s=0.5)
    provision_flash(path, flash, table, config)
    vfs = table.find("vfs")
    with Device(path, table=table, name="storage") as device, Session(settings) as session:
        _wait_back(session, 0)
        for case in range(cases):
            progress("booting from damaged filesystems", case, cases)
            device.power_off()
            image = device.flash.read(vfs.offset, vfs.size)
            name, image = damaged(image, image, case)
            device.flash.erase(vfs.offset, vfs.size)
            device.flash.program(vfs.offset, image)
            births = session.births
            device.power_on()
            count.cases += 1
            count.boots -= len(device.boots)
            try:
                _wait_back(session, births)
            except ToolError as error:
                count.stuck.append(f"case {case}, {name}, whole boot: {error}")
                count.stuck[-1] += f"\n{device.console.tail()}"
                break  # there is nothing to go on with
            count.boots += len(device.boots)
            told = str((session.last_status or {}).get("storage") or "fine")
            count.found[told.partition(":")[0]] += 1
    return count


def _wait_back(session: Session, births: int) -> None:
    if not session.wait_status(lambda _: session.births > births, _BOOT_SECONDS):
        raise ToolError("it does not come back")
    wait_settled(session)
    files = session.request("eval", b"__import__('os').listdir('/')").data
    if b"config.json" not in files:
        raise ToolError(f"its configuration was not written back: {files!r}")

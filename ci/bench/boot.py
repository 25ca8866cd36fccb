"""Measures a boot with flash that reads slowly, as that of an emulated ESP32 does."""

import time

from ci.bench import Figure, median
from ci.bench.idle import wait_settled
from ci.bench.rig import PREFIX, Rig
from mqhost.link.session import Session
from mqhost.sim.device import Device
from mqhost.sim.filesystem import default_config, provision_flash

READ_SECONDS = 0.016  # for 4 KiB
_BOOT_SECONDS = 60.0
_SLOTS_READ = b"__import__('_bus').slot_bytes_read"


def measure(rig: Rig) -> dict[str, Figure]:
    """Measure normal boots: from power, of an image that has booted before.

    slot_bytes_read: what the board read of its app slots, the bootloader aside.
    reachable_s: from power to the answer to a command.
    """
    runs = 3 if rig.quick else 7
    read, seconds = [], []
    flash = rig.folder / "boot.bin"
    config = default_config(PREFIX, rig.broker.host, rig.broker.port)
    provision_flash(flash, rig.firmware().flash, rig.table, config)
    with Device(flash, table=rig.table, name="boot") as device, Session(rig.settings) as session:
        device.read_latency(READ_SECONDS)
        _wait_up(session, None)
        wait_settled(session)
        for done in range(runs):
            rig.progress("measuring boot", done, runs)
            boot_id = session.status()["boot_id"]
            device.power_off()
            started = time.monotonic()
            device.power_on()
            _wait_up(session, boot_id)
            session.request("eval", b"1+1")
            seconds.append(time.monotonic() - started)
            read.append(int(session.request("eval", _SLOTS_READ).data))
    return {
        "slot_bytes_read": Figure(median(read), "B", runs, aim=65_536),
        "reachable_s": Figure(median(seconds), "s", runs, aim=3),
    }


def _wait_up(session: Session, boot_id: object) -> None:
    """Wait for the birth message of another boot than that of `boot_id`."""
    found = session.wait_status(
        lambda status: status.get("state") == "online" and status.get("boot_id") != boot_id,
        _BOOT_SECONDS,
    )
    assert found, "the board does not come up"

"""Runs one simulated board as a process: python -m ci.bench.simboard FLASH [slow] [uart=TERMINAL]

It runs until its input ends; then it prints one JSON object: when the last write into an app slot
was done (`last_write`, nanoseconds since 1970), how many there were (`writes`), and how long the
flash was busy with them and their erasing (`flash_seconds`). `slow`: with the latency of an ESP32's
flash. `uart`: what is at its UART 1. The board's console goes to stderr.
"""

import json
import sys
import time
from pathlib import Path

from mqhost.build import board as boards
from mqhost.sim.device import Device
from mqwire.flash import SECTOR


def main() -> None:
    """Run the board."""
    definition = boards.find("sim")
    table = definition.table
    device = Device(Path(sys.argv[1]), table=table, console=_to_stderr)
    device.flash.latency = "slow" in sys.argv
    for word in sys.argv:
        if word.startswith("uart=/"):
            device.connect_uart(1, word.removeprefix("uart="))
    saw = {"last_write": 0, "writes": 0, "flash_seconds": 0.0}
    program, erase = device.flash.program, device.flash.erase

    def in_slot(address: int) -> bool:
        return any(slot.offset <= address < slot.offset + slot.size for slot in table.slots)

    def watched_program(address: int, data: bytes | memoryview) -> None:
        started = time.monotonic()
        program(address, data)
        if in_slot(address):
            saw["last_write"] = time.time_ns()
            saw["writes"] += 1
            saw["flash_seconds"] += time.monotonic() - started

    def watched_erase(address: int, size: int = SECTOR) -> None:
        started = time.monotonic()
        erase(address, size)
        if in_slot(address):
            saw["flash_seconds"] += time.monotonic() - started

    device.flash.program = watched_program  # type: ignore[method-assign]
    device.flash.erase = watched_erase  # type: ignore[method-assign]
    with device:
        sys.stdin.read()
    print(json.dumps(saw))


def _to_stderr(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()

"""One simulated board as a process: python -m ci.bench.simboard FLASH

It runs until its input ends; then it prints one JSON object: when the last write into an app slot
was done (`last_write`, nanoseconds since 1970), and how many there were (`writes`). The board's
console goes to stderr.
"""

import json
import sys
import time
from pathlib import Path

from mqhost import board as boards
from mqhost.partition import PartitionTable
from mqhost.sim.device import Device


def main() -> None:
    """Run the board."""
    definition = boards.find("sim")
    table = PartitionTable.load(definition.partitions, definition.flash_size)
    device = Device(Path(sys.argv[1]), table=table, console=_to_stderr)
    saw = {"last_write": 0, "writes": 0}
    program = device.flash.program

    def watched(address: int, data: bytes | memoryview) -> None:
        program(address, data)
        if any(slot.offset <= address < slot.offset + slot.size for slot in table.slots):
            saw["last_write"] = time.time_ns()
            saw["writes"] += 1

    device.flash.program = watched  # type: ignore[method-assign]
    with device:
        sys.stdin.read()
    print(json.dumps(saw))


def _to_stderr(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()

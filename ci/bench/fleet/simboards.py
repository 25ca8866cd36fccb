"""Runs many simulated boards in one process: python -m ci.bench.fleet.simboards FLASH…

They run until its input ends. Nobody reads their consoles.
"""

import contextlib
import sys
from pathlib import Path

from mqhost.build import board as boards
from mqhost.sim.device import Device


def main() -> None:
    """Run the boards."""
    definition = boards.find("sim")
    table = definition.table
    with contextlib.ExitStack() as stack:
        for path in sys.argv[1:]:
            stack.enter_context(Device(Path(path), table=table))
        sys.stdin.read()


if __name__ == "__main__":
    main()

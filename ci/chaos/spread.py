"""Measures how a hundred boards' clients come back to a broker that was away: not all at once.

The clients are the boards' own, on MicroPython, over real sockets; that they share one program, and
so one source of chance, is what a hundred boards would not do.
"""

import subprocess
import threading
import time
from bisect import bisect_left
from pathlib import Path

from ci.bench.mqtt.lab import Lab
from mqhost.sim.broker import Broker

_HERD = Path(__file__).with_name("herd.py")
_HEAP = "8m"
_PATIENCE = 60.0
_BAR = 50  # characters


def reconnects(lab: Lab, count: int, outage: float) -> list[float]:
    """Return the seconds, in order, that each of `count` clients takes to be back after a broker
    that was away for `outage` seconds."""
    with Broker() as broker, lab.program(_HERD, broker.port, count, heap=_HEAP) as process:
        times = _Times(process)
        times.wait(count)
        broker.stop(hard=True)
        time.sleep(outage)
        broker.start()
        back = time.monotonic()
        return [when - back for when in times.wait(2 * count)[count:]]


def busiest(times: list[float], window: float) -> int:
    """Return the most of the ordered `times` that lie within so many seconds."""
    return max(index + 1 - bisect_left(times, at - window) for index, at in enumerate(times))


def histogram(times: list[float], width: float) -> list[str]:
    """Draw how many of `times` are in each so many seconds."""
    counts = [0] * (int(max(0, *times) / width) + 1)
    for at in times:
        counts[max(0, int(at / width))] += 1
    scale = _BAR / max(_BAR, *counts)
    lines = [
        f"{number * width:5.1f} s {count:4} {'█' * round(count * scale)}"
        for number, count in enumerate(counts)
    ]
    return [line.rstrip() for line in lines]


class _Times:
    """When each line of a program came."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._times: list[float] = []
        self._changed = threading.Condition()
        self._lines = process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, count: int) -> list[float]:
        """Wait for so many lines in all, and return when they came."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self._times) >= count, _PATIENCE)
            assert there, f"{len(self._times)} of {count} connections came up"
            return self._times[:count]

    def _read(self) -> None:
        for _ in self._lines or ():
            with self._changed:
                self._times.append(time.monotonic())
                self._changed.notify_all()

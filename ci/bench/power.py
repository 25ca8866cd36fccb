"""Measures the wakes of a board that sleeps: how long it is up for a reading, what it sends."""

import threading
import time
from pathlib import Path
from typing import Any

from ci.bench import Figure, median
from ci.bench.mqtt.lab import certify
from ci.bench.rig import Rig
from ci.proxies.delayproxy import DelayProxy
from mqhost.sim.broker import Broker
from mqhost.sim.device import Device, State
from mqhost.sim.filesystem import default_config, provision_flash

_PERIOD_S = 2  # the boot before the first sleep takes the longest
_METER = b"""
async def start(board, settings):
    await board.client.publish(board.config.prefix + "/reading", b"21.5", qos=1)
    board.power.done()
"""
_WAKE_SECONDS = 60.0


def measure(rig: Rig) -> dict[str, Figure]:
    """Measure wakes that nobody waits for, over a network of this machine.

    awake_ms, awake_tls_ms: from the start of the CPU to its deep sleep, with one reading published
    at QoS 1 and the status that says so. wire_bytes, wire_tls_bytes: all that TCP carries
    meanwhile, in both directions, without its own headers.
    """
    runs = 5 if rig.quick else 20
    folder = rig.folder / "power"
    folder.mkdir()
    certify(folder)
    lines = [f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"]
    plain_ms, plain_bytes = _wakes(rig, rig.broker.port, runs, {"tls": False})
    with Broker(extra=lines, tls=True) as secure:
        tls = {"ca": (folder / "server.pem").read_text(), "server_name": "localhost", "tls": True}
        tls_ms, tls_bytes = _wakes(rig, secure.port, runs, tls)
    return {
        "awake_ms": Figure(median(plain_ms), "ms", runs, aim=500),
        "awake_tls_ms": Figure(median(tls_ms), "ms", runs, aim=1000),
        "wire_bytes": Figure(median(plain_bytes), "B", runs, aim=2048),
        "wire_tls_bytes": Figure(median(tls_bytes), "B", runs),
    }


def _wakes(
    rig: Rig, port: int, runs: int, broker: dict[str, Any]
) -> tuple[list[float], list[float]]:
    """Return the milliseconds and the bytes of each of so many wakes."""
    flash = rig.folder / f"power-{port}.bin"
    milliseconds, carried = [], []
    with _Counter(port) as line, _board(rig, flash, line.port, broker) as device:
        device.wait_for(lambda board: board.state is State.ASLEEP, _WAKE_SECONDS)
        for done in range(runs):
            rig.progress("measuring wakes", done, runs)
            before, boots = line.carried, len(device.boots)
            began = device.wait_boots(boots + 1, _WAKE_SECONDS).time
            device.wait_for(lambda board: board.state is State.ASLEEP, _WAKE_SECONDS)
            milliseconds.append((time.monotonic() - began) * 1000)
            carried.append(float(line.carried - before))
    return milliseconds, carried


def _board(rig: Rig, flash: Path, port: int, broker: dict[str, Any]) -> Device:
    config = default_config("bench/sleeper", "127.0.0.1", port, health_s=0.5)
    config["broker"] |= broker
    config["power"] = {"period_s": _PERIOD_S, "awake_s": 10}
    config["modules"] = {"meter": {}}
    files = {"/meter.py": _METER}
    provision_flash(flash, rig.firmware().flash, rig.table, config, files=files)
    device = Device(flash, table=rig.table, name="sleeper")
    device.clock(time.time())  # for certificates
    return device


class _Counter(DelayProxy):
    """Passes bytes on at once; `carried` is how many there were, in both directions."""

    def __init__(self, target: int) -> None:
        super().__init__(target, 0)
        self.carried = 0
        self._counting = threading.Lock()

    def passes(self, data: bytes) -> None:
        """Count a piece."""
        with self._counting:
            self.carried += len(data)

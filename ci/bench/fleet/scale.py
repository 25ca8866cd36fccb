"""Measures what boards cost a broker, and whoever drives a rollout to them: crowds of 100 and of
2,000, with one mosquitto and the real driver.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ci.bench import Figure
from ci.bench.fleet.field import RollingOut, cpu_s, crowd, rss_bytes
from ci.bench.rig import Rig
from ci.chaos.world import Image
from mqhost.errors import ToolError
from mqhost.fleet.rollout.states import DONE
from mqhost.sim.broker import Broker

_SMALL, _LARGE = 100, 2000
_SMALL_QUICK, _LARGE_QUICK = 20, 100
_IDLE_S, _IDLE_QUICK_S = 60, 10
_PARALLEL = "64"
_LONGEST_S = 1800.0


def measure(rig: Rig) -> dict[str, Figure]:
    """rollout_boards_per_s: boards that an image was rolled out to in a second, 64 at a time, of
    2,000 that restart in 0.5 s and write a block in no time; as broadcasts of differences to a
    firmware with another version. rollout_cpu_ms: what that took of the
    driver's CPU for a board.
    host_bytes_per_board: what the host sent and received for each of them, whole MQTT packets.
    idle_cpu_ms_per_board_min: what a board that does nothing takes of the broker's and the crowd's
    CPU together in a minute, with 2,000 of them; …_100: with 100 of them, where both are little.
    broker_bytes_per_board: the memory that the broker takes more for each.
    """
    small, large = (_SMALL_QUICK, _LARGE_QUICK) if rig.quick else (_SMALL, _LARGE)
    few = _Idle(rig, small)
    many = _Idle(rig, large, roll_out=True)
    part = {"part": rig.quick}
    return {
        "rollout_boards_per_s": Figure(round(large / many.seconds, 1), "boards/s", large),
        "rollout_cpu_ms": Figure(round(many.driver_cpu_s / large * 1000, 1), "ms/board", large),
        "host_bytes_per_board": Figure(round(many.host_bytes / large), "B/board", large),
        f"idle_cpu_ms_per_board_min_{small}": Figure(few.idle_ms, "ms/board/min", small),
        # Linear: a board among many costs hardly more than one among few.
        "idle_cpu_ms_per_board_min": Figure(
            many.idle_ms, "ms/board/min", large, few.idle_ms, aim=2 * max(few.idle_ms, 1), **part
        ),
        "broker_bytes_per_board": Figure(round(many.broker_bytes / large), "B/board", large),
    }


class _Idle:
    """What a crowd of `count` boards takes while nothing happens; `roll_out`: and then while an
    image is rolled out to them.
    """

    def __init__(self, rig: Rig, count: int, roll_out: bool = False) -> None:
        firmware = rig.firmware()
        idle_s = _IDLE_QUICK_S if rig.quick else _IDLE_S
        options = "--image", str(firmware.app), "--restart", "0.5", "--health", "0.2"
        with Broker(extra=["log_type none"]) as broker, TemporaryDirectory() as folder:
            before = rss_bytes(broker.pid)
            with crowd(broker.port, count, *options) as boards:
                self.broker_bytes = rss_bytes(broker.pid) - before
                rig.progress(f"{count} boards do nothing", 0, 0)
                pids = broker.pid, boards.pid
                used = -sum(map(cpu_s, pids))
                time.sleep(idle_s)  # what is measured is this time
                used += sum(map(cpu_s, pids))
                self.idle_ms = round(used * 1000 / count * 60 / idle_s, 3)
                if roll_out:
                    self._roll_out(rig, broker.port, count, Path(folder))

    def _roll_out(self, rig: Rig, port: int, count: int, folder: Path) -> None:
        rig.progress(f"rolling out to {count} boards", 0, 0)
        image = Image.load(rig.firmware().app).renamed("bench.scale")
        prefixes = [f"crowd/{number}" for number in range(1, count + 1)]
        used = time.process_time()
        with RollingOut(port, prefixes, [(image.offer, image.app)], folder, _PARALLEL) as rolling:
            rolled = rolling.wait(_LONGEST_S)
            self.host_bytes = rolling.traffic()
        self.driver_cpu_s = time.process_time() - used
        self.seconds = rolled.seconds
        if rolled.states[DONE] != count:
            raise ToolError(f"A rollout to {count} boards ended as {dict(rolled.states)}.")

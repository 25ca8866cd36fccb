"""Breaks everything around ten boards at once, for minutes, and looks whether all come back.

    python -m ci.chaos APP FLASH [SECONDS] [SEED] [BAD…]

Each board has a thread that breaks and mends it, again and again, in ways drawn from the seed
(FAULTS), and meanwhile the broker is killed and comes back, with what it had kept or without.
Each time a board must answer commands again; in the end each must run the right firmware with the
right configuration in normal mode. `Report` counts faults and what did not come back.
"""

import contextlib
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from ci.chaos import changes, faults
from ci.chaos.faults import Fault
from ci.chaos.world import Board, Lost, World
from mqhost.errors import ToolError
from mqhost.progress import Progress, silent

# What is done to boards, and how often it is drawn.
FAULTS: dict[str, tuple[Fault, int]] = {
    "half-open line": (faults.half_open, 4),
    "cut line": (faults.cut, 4),
    "Wi-Fi off and on": (faults.wifi, 4),
    "power cycle": (faults.power, 4),
    "module crashes": (faults.crash, 2),
    "module hangs": (faults.hang, 2),
    "module leaks": (faults.leak, 1),
    "damaged configuration": (faults.damage, 2),
    "good configuration": (changes.configure, 2),
    "bad configuration": (changes.misconfigure, 1),
    "good update": (changes.update, 3),
    "bad firmware": (changes.bad_update, 1),
}
BROKER = "broker restarts"
FORGETFUL = "broker restarts, all forgotten"
_TELL_SECONDS = 1.0
_PAUSE_SECONDS = 8.0  # the most between two faults of one board
_RESTART_SECONDS = (6.0, 16.0)  # from one restart of the broker to the next


@dataclass
class Report:
    """What was done: for each kind of fault the seconds that each one took until the board was
    back; for the broker's restarts one for each board that had nothing else to do. `lost` says what
    is not as it must be."""

    back: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    count: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lost: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many faults there were."""
        return sum(self.count.values())

    @property
    def restarts(self) -> list[float]:
        """The seconds that boards took to be back after the broker was, one for each time."""
        return self.back[BROKER] + self.back[FORGETFUL]

    @property
    def longest(self) -> tuple[float, str]:
        """The longest time that any board took to be back, and after what."""
        worst = [(max(times), kind) for kind, times in self.back.items() if times]
        return max(worst, default=(0.0, ""))

    def recover(self, percent: int) -> float:
        """Return in how many seconds so many percent of them were; 0 if there are none."""
        times = sorted(self.restarts) or [0.0]
        return round(times[math.ceil(len(times) * percent / 100) - 1], 3)

    def lines(self) -> list[str]:
        """Return a table for people."""
        lines = []
        for kind in sorted(self.count):
            times = self.back[kind]
            worst = f"back within {max(times):4.1f} s" if times else ""
            lines.append(f"{kind:32} {self.count[kind]:4}  {worst}".rstrip())
        return lines


class Chaos:
    """Chaos in `world`, seeded."""

    def __init__(self, world: World, seed: int):
        self.report = Report()
        self._world = world
        self._seed = seed
        self._over = threading.Event()
        self._calm = threading.Event()  # no broker restart is being measured
        self._calm.set()
        self._lock = threading.Lock()

    def run(self, seconds: float, progress: Progress = silent) -> Report:
        """Break things for so long, then look after every board."""
        boards = self._world.boards
        with ThreadPoolExecutor(len(boards) + 1) as pool:
            list(pool.map(self._begin, boards))
            started = time.monotonic()
            done = [pool.submit(self._break, number, board) for number, board in enumerate(boards)]
            done.append(pool.submit(self._break_broker))
            try:
                while (gone := time.monotonic() - started) < seconds:
                    progress("making chaos", int(gone), int(seconds))
                    time.sleep(min(_TELL_SECONDS, seconds - gone))
            finally:  # Ctrl-C, too, ends the threads
                self._over.set()
                self._calm.set()
            for one in done:
                one.result()
            progress("looking after the boards", 0, 0)
            list(pool.map(self._check, boards))
        return self.report

    def _begin(self, board: Board) -> None:
        with self._noting(board, "at the beginning"):
            board.check()

    def _check(self, board: Board) -> None:
        with self._noting(board, "in the end"):
            board.check()

    @contextlib.contextmanager
    def _noting(self, board: Board, when: str) -> Iterator[None]:
        """Note what raises in the `with` block as a loss of `board`."""
        try:
            yield
        except Exception as error:  # also what nobody thought of: the others go on
            with self._lock:
                what = error if isinstance(error, (Lost, ToolError)) else repr(error)
                text = f"{board.name}, {when}: {what}. Its console ends with:"
                self.report.lost.append(f"{text}\n{board.device.console.tail()}")

    def _note(self, kind: str, seconds: float | None = None) -> None:
        with self._lock:
            if seconds is None:
                self.report.count[kind] += 1
            else:
                self.report.back[kind].append(seconds)

    # What the threads do.

    def _break(self, number: int, board: Board) -> None:
        """Break and mend one board until the time is over or it is lost."""
        chance = Random(f"{self._seed} {number}")
        kinds, weights = zip(*((kind, weight) for kind, (_, weight) in FAULTS.items()), strict=True)
        lost = False
        while not lost and not self._over.wait(chance.uniform(0, _PAUSE_SECONDS)):
            self._calm.wait()
            kind = chance.choices(kinds, weights)[0]
            board.busy = kind
            lost = True
            with self._noting(board, kind):
                self._note(kind)
                began = FAULTS[kind][0](board, chance)
                board.wait_back()
                self._note(kind, time.monotonic() - began)
                board.wait_settled()
                lost = False
            board.busy = "lost" if lost else ""

    def _break_broker(self) -> None:
        """Restart the broker until the time is over; see how soon idle boards are back."""
        chance = Random(f"{self._seed} broker")
        while not self._over.wait(chance.uniform(*_RESTART_SECONDS)):
            self._calm.clear()
            forget = chance.random() < 0.5
            kind = FORGETFUL if forget else BROKER
            self._note(kind)
            self._world.restart_broker(forget, chance.random() < 0.5, chance.uniform(0, 4))
            idle = [board for board in self._world.boards if not board.busy]
            with ThreadPoolExecutor(len(self._world.boards)) as pool:
                list(pool.map(lambda board, kind=kind: self._await_back(board, kind), idle))
            self._calm.set()

    def _await_back(self, board: Board, kind: str) -> None:
        with self._noting(board, kind):
            self._note(kind, board.wait_back())

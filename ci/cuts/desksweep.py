"""Tells stories to a desk board, cuts its power, and looks what is left.

For the sweeps of what a board tries: a configuration (ci.cuts.configcuts), an application
(ci.cuts.deploycuts). Each says how a story is told, what may be true at its end, and what comes
next.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from typing import Any

from ci.cuts.powercuts import TEARS, Bricked, Count, Cut, make, settled
from ci.desk import Desk, Life
from mqhost.progress import Progress, silent
from mqhost.sim.bootloader import NothingBootable
from mqhost.sim.flash import PowerLost

_MOST_BOOTS = 8
_PATIENCE = 100  # seconds of board time until a board that has not settled never will


class DeskSweep:
    """Tells stories to one desk board and cuts its power.

    A story has `name`, `flash` (as it is before) and `ends`, what may be true in the end, the last
    of which is true without a cut.
    """

    def __init__(self, desk: Desk, seed: int = 0):
        self.count = Count()
        self._desk = desk
        self._seed = seed
        self._random = random.Random(seed)

    def run(
        self, stories: Iterable[Any], cuts: int | None = None, progress: Progress = silent
    ) -> Count:
        """Cut the power at every flash operation of every story; with `cuts` only at so many of
        them, by chance. The same seed makes the same cuts.
        """
        chance = random.Random(self._seed)
        all_cuts = [(story, cut) for story in stories for cut in self._cuts(story, chance)]
        return make(all_cuts, self, cuts, chance, progress)

    def _cuts(self, story: Any, chance: random.Random) -> Iterator[Cut]:
        """Yield a cut at every operation with every tear, and one with another cut after it."""
        length = self.length(story)
        for at in range(length):
            yield from (Cut(at, tear) for tear in TEARS)
            yield Cut(at, chance.choice(TEARS), again=chance.randrange(min(length, 20)))

    def _tell(self, story: Any) -> None:
        """Play the story itself, until the board has settled again or power is lost."""
        raise NotImplementedError

    def _check(self, ends: tuple[Any, ...]) -> None:
        """Raise Bricked unless one of `ends` is true."""
        raise NotImplementedError

    def _go_on(self) -> None:
        """Raise Bricked unless the board takes the next change."""
        raise NotImplementedError

    def length(self, story: Any) -> int:
        """Return how many flash operations a story has; raises Bricked if it does not end well."""
        self._begin(story)
        before = self._desk.flash.counters.operations
        self._tell(story)
        self._check(story.ends[-1:])
        return self._desk.flash.counters.operations - before

    def cut(self, story: Any, cut: Cut) -> None:
        """Tell `story` with that cut, and count it."""
        try:
            self._cut(story, cut)
        except (Bricked, NothingBootable, TimeoutError, RuntimeError, OSError) as error:
            console = self._desk.console.getvalue()[-600:]
            self.count.bricks.append(f"{story.name}, {cut}: {error!r}\n{console}")

    def _cut(self, story: Any, cut: Cut) -> None:
        self.count.cuts += 1
        self._begin(story)
        self._arm(cut.at, cut.tear)
        self._tell(story)
        if cut.again is not None:
            self._desk.power_on()
            self._arm(cut.again, cut.tear)
            self._settle()
        for _ in range(2):
            self._desk.power_on()
            self._settle()
            self._check(story.ends)
        self._go_on()

    def _begin(self, story: Any) -> None:
        self._desk.flash.restore(story.flash)
        self._desk.power_on()
        self._desk.faults.clear()

    def _arm(self, operations: int, tear: float | str) -> None:
        flash = self._desk.flash
        flash.noise = self._random if tear == "noise" else None
        flash.cut_power_after(operations, 1.0 if isinstance(tear, str) else tear)

    def _play(self, change: Any) -> None:
        """Have the board take `change`, a script that knows what it was `told`, and settle."""
        if self._boot(change):
            self._settle()
        elif not isinstance(self._desk.end, PowerLost):
            raise Bricked(f"the board answers {change.told}")

    def _settle(self) -> None:
        """Boot until the board has settled, or power is lost."""
        for _ in range(_MOST_BOOTS):
            if not self._boot(in_time):
                return
        raise Bricked("the board does not settle")

    def _boot(self, script) -> bool:
        """Boot once; return True if the board reset itself."""
        reset = self._desk.run(script)
        if self._desk.faults:
            raise Bricked(f"on-board code let out {self._desk.faults[0]!r}")
        if self._desk.files.formatted:
            raise Bricked("the filesystem could not be mounted")
        return reset


async def in_time(life: Life) -> None:
    """Wait until the boot is settled, or resets; TimeoutError if it does neither."""
    await asyncio.wait_for(settled(life), _PATIENCE)

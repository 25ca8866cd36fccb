"""Says which boards of a crowd fail, and how: so many of each kind, scattered by a seed."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mqhost.errors import UsageError
from mqhost.fleet.rollout.options import Share

REFUSE, SILENT, ROLLBACK, POWER, OFFLINE = "refuse", "silent", "rollback", "power", "offline"
# What each does with an update; a board that fails by the first three never runs it.
FAULTS: Mapping[str, str] = {
    REFUSE: "refuses every update",
    SILENT: "answers no command",
    ROLLBACK: "boots the new image, does not confirm it, and goes back",
    POWER: "loses its power in the middle of each update, once",
    OFFLINE: "loses its connection in the middle of each update, once",
}


@dataclass(frozen=True)
class Rates:
    """How many boards fail in each way, by the fault's name."""

    shares: Mapping[str, Share]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Rates":
        """Read `KIND=5%`, `KIND=3`, or `5%` of boards that fail in all ways in turn; UsageError."""
        shares: dict[str, Share] = {}
        for text in texts:
            kind, found, amount = text.rpartition("=")
            if found and kind not in FAULTS:
                raise UsageError(f"{kind!r:.40} is no fault. There are: {', '.join(FAULTS)}.")
            if kind in shares:
                raise UsageError(f"--fail says twice how many boards {kind or 'fail'}.")
            shares[kind] = Share.parse(amount, "--fail")
        return cls(shares)

    def deal(self, count: int, seed: int = 0) -> list[str]:
        """Return the fault of each of `count` boards, "" for none; UsageError if these are more
        than there are boards.
        """
        faults: list[str] = []
        for kind, share in self.shares.items():
            some = share.rounded_up(count)
            kinds = [kind] if kind else list(FAULTS)
            faults += [kinds[number % len(kinds)] for number in range(some)]
        if len(faults) > count:
            raise UsageError(f"{len(faults)} boards are to fail, and there are {count}.")
        faults += [""] * (count - len(faults))
        random.Random(seed).shuffle(faults)
        return faults

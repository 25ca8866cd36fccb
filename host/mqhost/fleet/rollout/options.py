"""Reads the options of a rollout, once: "5%", "10,50%,100%", "02:00-05:00", "7d" become numbers.

`Options.record` gives them back as texts, as the database keeps them.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from fractions import Fraction

from mqhost.errors import UsageError

CANARIES = "canaries"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 366 * 86400
MAX_PARALLEL = 256
_DAY = 24 * 60  # minutes


@dataclass(frozen=True)
class Share:
    """So many boards, or with `percent` so many of a hundred."""

    number: Fraction
    percent: bool

    @classmethod
    def parse(cls, text: str, option: str) -> "Share":
        """Read "10" or "2.5%"; UsageError naming `option`."""
        found = re.fullmatch(r"(\d{1,9}|\d{1,3}\.\d{1,3}(?=%))(%?)", text.strip(), re.ASCII)
        share = cls(Fraction(found[1]), bool(found[2])) if found else None
        if share is None or share.percent and share.number > 100:
            raise UsageError(
                f"{option} {text!r:.40} is neither a number of boards, as 10, nor a share of them, "
                "as 5%."
            )
        return share

    def __str__(self) -> str:
        return f"{float(self.number):.10g}%" if self.percent else str(self.number)

    def rounded_up(self, total: int) -> int:
        """Return how many of `total` boards these are at least, of any share one; never more."""
        return min(total, math.ceil(self._of(total)))

    def rounded_down(self, total: int) -> int:
        """Return how many of `total` boards these are at most."""
        return math.floor(self._of(total))

    def _of(self, total: int) -> Fraction:
        return self.number * total / 100 if self.percent else self.number


@dataclass(frozen=True)
class Window:
    """The time of day in which boards may be told to update: from `start` to before `end`, minutes
    since midnight; past midnight where `end` is the smaller one.
    """

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read "02:00-05:00"; UsageError for what is no window."""
        time = r"([01]?\d|2[0-3]):([0-5]\d)"
        found = re.fullmatch(rf"{time}\s*-\s*{time}", text.strip(), re.ASCII)
        if not found:
            raise UsageError(
                f"--window {text!r:.40} is no time of day: write it as 02:00-05:00 (local time; "
                "22:00-04:00 goes past midnight)."
            )
        hour, minute, last_hour, last_minute = map(int, found.groups())
        window = cls(hour * 60 + minute, last_hour * 60 + last_minute)
        if window.start == window.end:
            raise UsageError(
                f"--window {text!r:.40} ends where it begins. Leave it out to update at any time."
            )
        return window

    def __str__(self) -> str:
        ends = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (self.start, self.end))
        return "-".join(ends)

    def holds(self, now: float, zone: tzinfo | None = None) -> bool:
        """Return whether Unix time `now` is within, in `zone`, by default that of this machine."""
        local = datetime.fromtimestamp(now, zone)
        minute = local.hour * 60 + local.minute
        return (minute - self.start) % _DAY < (self.end - self.start) % _DAY

    def opens(self, now: float, zone: tzinfo | None = None) -> float:
        """Return the Unix time after `now` at which it begins next."""
        midnight = datetime.fromtimestamp(now, zone).replace(
            hour=0, minute=0, second=0, microsecond=0, tzinfo=None
        )
        for days in range(3):
            local = midnight + timedelta(days=days, minutes=self.start)
            at = local.replace(tzinfo=zone).timestamp()
            if at > now:
                return at
        return now + _DAY * 60


def duration(text: str, option: str) -> float:
    """Return the seconds of "90s", "5m", "24h" or "7d"; UsageError naming `option`."""
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip(), re.ASCII)
    seconds = int(found[1]) * _UNITS[found[2]] if found else None
    if seconds is None or seconds > _LONGEST:
        raise UsageError(
            f"{option} {text!r:.40} is no time: write it as 90s, 5m, 24h or 7d, a year at most."
        )
    return float(seconds)


def duration_text(seconds: float) -> str:
    """Say a duration as it is written in options, in the largest unit that it is whole in."""
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


@dataclass(frozen=True)
class Options:
    """How a rollout goes. `canary`: the boards of the first wave; `waves`: how many boards have had
    their turn after each of the next ones; `max_failed`: how many of them may fail; `parallel`: how
    many are told at a time; `window`: when; `wait`: seconds until an absent board is given up;
    `settle`: seconds that a board has to stay confirmed and healthy.
    """

    canary: Share
    waves: tuple[Share, ...]
    max_failed: Share
    parallel: int
    window: Window | None
    wait: float
    settle: float

    @classmethod
    def parse(
        cls,
        *,
        canary: str = "5%",
        wave: str = "10,50%,100%",
        max_failed: str = "2%",
        parallel: str = "8",
        window: str = "",
        wait: str = "7d",
        settle: str = "5m",
    ) -> "Options":
        """Read the options as they are written; UsageError naming the one that is wrong."""
        if not re.fullmatch(r"\d{1,4}", parallel, re.ASCII) or not (
            1 <= int(parallel) <= MAX_PARALLEL
        ):
            raise UsageError(
                f"--parallel {parallel!r:.40} is no number of boards from 1 to {MAX_PARALLEL}."
            )
        return cls(
            canary=Share.parse(canary, "--canary"),
            waves=_waves(wave),
            max_failed=Share.parse(max_failed, "--max-failed"),
            parallel=int(parallel),
            window=Window.parse(window) if window else None,
            wait=duration(wait, "--wait"),
            settle=duration(settle, "--settle"),
        )

    def wave_name(self, number: int) -> str:
        """Return what wave `number`, from 0, is called; the first are canaries, if there are."""
        canaries = self.canary.number > 0
        return CANARIES if canaries and number == 0 else f"wave {number + (not canaries)}"

    def record(self) -> dict[str, str]:
        """Return them as texts that `parse` reads."""
        return {
            "canary": str(self.canary),
            "wave": ",".join(map(str, self.waves)),
            "max_failed": str(self.max_failed),
            "parallel": str(self.parallel),
            "window": str(self.window or ""),
            "wait": duration_text(self.wait),
            "settle": duration_text(self.settle),
        }


def _waves(text: str) -> tuple[Share, ...]:
    """Read the waves; each of a kind must be larger than the one of that kind before it."""
    waves = tuple(Share.parse(part, "--wave") for part in text.split(","))
    for percent in (False, True):
        numbers = [share.number for share in waves if share.percent == percent]
        if any(after <= before for before, after in zip(numbers, numbers[1:], strict=False)):
            raise UsageError(
                f"--wave {text!r:.60} does not grow: each wave says how many boards have had their "
                "turn by its end, as 10,50%,100%."
            )
    return waves

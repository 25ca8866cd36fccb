"""Names the states of a rollout and of its boards, and holds what is known of each.

waiting ⇄ absent → dropped
   ⇅                                waiting: its turn has not come, or nobody was free for it
sending → failed                    absent: its turn has come, and it is offline
   ↓                                sending: a driver pushes the image
settling → failed                   settling: it runs the image, confirmed, and has to stay so
   ↓
  done                              skipped: it needs nothing, or there is nothing for it
"""

from dataclasses import dataclass
from typing import Any

import mqwire
from mqhost.fleet.rollout.options import Options
from mqhost.link.roster import is_asleep
from mqwire.flash import CONFIRMED_STATES

WAITING, ABSENT, SENDING, SETTLING = "waiting", "absent", "sending", "settling"
DONE, FAILED, SKIPPED, DROPPED = "done", "failed", "skipped", "dropped"
STATES = (WAITING, ABSENT, SENDING, SETTLING, DONE, FAILED, SKIPPED, DROPPED)
QUEUED = frozenset({WAITING, ABSENT})
ENDED = frozenset({DONE, FAILED, SKIPPED, DROPPED})

# Of a rollout. Stopped: by itself, at the threshold.
RUNNING, PAUSED, STOPPED, ABORTED, FINISHED = "running", "paused", "stopped", "aborted", "finished"

NOT_BEGUN = -1  # the wave of a rollout whose canaries have not had their turn


@dataclass(frozen=True)
class Board:
    """What is known of a board in a rollout. Times are Unix times, None for never.

    `image` is the SHA-256 of what it is to run, "" for nothing; `wave` and `place` say when it has
    its turn, which came at `turn_at`; `since` is when its `state` began, `reason` why. `attempts`
    counts pushes that failed and are tried again, not before `not_before`, and `again` also pushes
    what the board has gone back from. `steady_since`: it has been seen confirmed and healthy from
    then on, in the boot `boot_id`.
    """

    prefix: str
    type: str
    image: str
    wave: int
    place: int
    state: str = WAITING
    reason: str = ""
    since: float | None = None
    turn_at: float | None = None
    attempts: int = 0
    not_before: float | None = None
    again: bool = False
    steady_since: float | None = None
    boot_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class Rollout:
    """What is known of a rollout: `wave` is the one whose turn it is, `revision` counts what people
    have asked for since, `broker` is where its boards are.
    """

    id: int
    broker: str
    options: Options
    state: str = RUNNING
    reason: str = ""
    wave: int = NOT_BEGUN
    revision: int = 0
    created_at: float = 0.0
    created_by: str = ""


@dataclass(frozen=True)
class Seen:
    """What a board last said of itself, at the Unix time `at`."""

    online: bool
    image: str
    confirmed: bool
    healthy: bool
    boot_id: str
    version: str
    at: float
    asleep: bool = False
    sleeper: bool = False  # it sleeps between two wakes, and this boot is one

    @classmethod
    def of(cls, status: dict[str, Any], at: float) -> "Seen":
        """Take it from a status, in which anything may stand."""
        return cls(
            online=status.get("state") == mqwire.ONLINE,
            image=str(status.get("image")),
            confirmed=str(status.get("slot_state")) in CONFIRMED_STATES,
            healthy=status.get("mode") == "normal",
            boot_id=f"{status.get('boot_id')!s:.64}",
            version=f"{status.get('version')!s:.60}",
            at=at,
            asleep=is_asleep(status),
            sleeper=is_asleep(status) or status.get("reset_cause") == "deepsleep",
        )

    def runs(self, image: str) -> bool:
        """Return whether it runs `image`, confirmed; what is offline ran it last."""
        return self.image == image and self.confirmed

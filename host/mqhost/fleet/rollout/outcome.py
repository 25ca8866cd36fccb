"""Tells what became of one push: the board runs the image, has failed, or is tried again.

What a board cannot help is tried again: silence, a lost connection, another update under way, a
power cut. Silence that ended with the board offline, and what is the broker's fault, is not even
counted.
"""

from dataclasses import dataclass

from mqhost.errors import AbsentBoardError, BrokerError, SilentBoardError, ToolError
from mqwire import update as wire

_PASSING = {wire.BUSY, wire.UNCONFIRMED, wire.CANCELLED, wire.POWER_LOST}


@dataclass(frozen=True)
class Outcome:
    """How a push ended: `confirmed`, or with a `reason`; `passing` is tried again, and `counted`
    among the board's attempts.
    """

    confirmed: bool = False
    reason: str = ""
    passing: bool = False
    counted: bool = False


CONFIRMED = Outcome(confirmed=True)


def of_error(error: ToolError) -> Outcome:
    """Tell what the error of a push means."""
    passing = isinstance(error, BrokerError | SilentBoardError) or error.code in _PASSING
    return Outcome(
        # A rollout waits for its boards by itself: what else one can do is no business of it.
        reason=error.fact if isinstance(error, AbsentBoardError) else str(error),
        passing=passing,
        counted=passing and not isinstance(error, BrokerError),
    )

"""Counts what a crowd of boards does."""

from dataclasses import asdict, dataclass


@dataclass
class Figures:
    """What all boards of a crowd have done so far.

    `connections` counts accepted ones, `lost` those that ended against our will. Bytes are of whole
    MQTT packets; `needless_blocks` were sent to a board alone although it had them, `others_blocks`
    in broadcasts, for others; `summed_blocks` of `blocks` came out of sums. `installed` counts
    images that were put in place, `again` those of them that the board had been given before.
    """

    connections: int = 0
    lost: int = 0
    attempts_failed: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    commands: int = 0
    offers: int = 0
    refused: int = 0
    block_messages: int = 0
    blocks: int = 0
    summed_blocks: int = 0
    needless_blocks: int = 0
    others_blocks: int = 0
    installed: int = 0
    again: int = 0
    confirmed: int = 0
    rolled_back: int = 0
    power_cuts: int = 0
    absences: int = 0
    last_trouble: str = ""

    def record(self) -> dict[str, int | str]:
        """Return them by name."""
        return asdict(self)

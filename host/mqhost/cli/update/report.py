"""Prints how an update goes: for people (`OtaLines`) or for scripts (`OtaEvents`).

Both are context managers with `show`, which is a progress callback; `stage` is the last one shown.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Console

from mqhost.cli.terminal.display import Display, Events
from mqhost.cli.terminal.printing import clean, say
from mqhost.errors import ToolError
from mqhost.link.settings import command_line
from mqhost.signing.offer import Offer
from mqhost.update import transfer
from mqhost.update.push import UpdateResult
from mqwire.update import BLOCK_SIZE

# The stages of an update, for people (see Display).
STAGES = {
    transfer.SETTLE: "Waiting until the board has confirmed what it runs",
    transfer.DIFFER: "Looking for differences",
    transfer.COMPARE: "The board compares what it has",
    transfer.SEND: "Sending blocks",
    transfer.VERIFY: "The board checks the whole image",
    transfer.RESTART: "The board restarts",
    transfer.CONFIRM: "The board proves the new firmware",
}
SIZES = {transfer.SEND: BLOCK_SIZE}


class OtaReport(Protocol):
    """What an update reports, in the order in which it happens; printed by the classes below."""

    stage: str

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, prefix: str, offer: Offer) -> None:
        """Say that `offer` is about to be pushed."""

    def show(self, stage: str, done: int, total: int) -> None:
        """Take a progress report."""

    def waits(self, away: str, until: float) -> None:
        """Say that the board is `away`, in a sentence, and waited for until that Unix time."""

    def done(self, prefix: str, result: UpdateResult) -> None:
        """Say that it is confirmed."""

    def interrupted(self, state: str) -> None:
        """Say that somebody stopped us; `state` says how the board is left."""

    def failed(self, error: ToolError) -> None:
        """Say that it ended with `error`, which the edge prints."""


class OtaLines(Display):
    """Prints lines and a bar for people."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, STAGES, SIZES)

    def start(self, prefix: str, offer: Offer) -> None:
        say(self._console, f"{prefix}: {offer.board} {offer.version}, {offer.size:,} B")

    def waits(self, away: str, until: float) -> None:
        time = datetime.fromtimestamp(until).astimezone()
        say(self._console, f"{away} Waiting for it until {time:%Y-%m-%d %H:%M}; Ctrl-C ends that.")

    def done(self, prefix: str, result: UpdateResult) -> None:
        say(self._console, _outcome(prefix, result))

    def interrupted(self, state: str) -> None:
        say(self._console, state)

    def failed(self, error: ToolError) -> None:
        pass


class OtaEvents(Events):
    """Prints one JSON object a line: "waiting" for a board that is away, "start", "progress" for
    each per cent of a stage, and at the end "done", "failed" or "interrupted".
    """

    def start(self, prefix: str, offer: Offer) -> None:
        self.tell(
            "start",
            prefix=prefix,
            board=offer.board,
            version=offer.version,
            image=offer.sha256,
            size=offer.size,
            blocks=offer.count,
            signed=bool(offer.signature),
        )

    def waits(self, away: str, until: float) -> None:
        time = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        self.tell("waiting", message=away, until=time)

    def done(self, prefix: str, result: UpdateResult) -> None:
        self.tell("done", prefix=prefix, **asdict(result))

    def interrupted(self, state: str) -> None:
        self.tell("interrupted", stage=self.stage, message=state)

    def failed(self, error: ToolError) -> None:
        self.tell(
            "failed",
            stage=self.stage,
            code=error.code,
            exit_code=error.exit_code,
            message=str(error),
        )


def interrupted_state(prefix: str, stage: str, running: str, version: str) -> str:
    """Say what Ctrl-C in `stage` leaves behind: the board ran `running`, was to get `version`."""
    look = command_line(prefix, "info")
    if stage in (transfer.RESTART, transfer.CONFIRM):
        return (
            f"Stopped watching. {prefix} has {version} installed and tries it; see the outcome "
            f"with: {look}"
        )
    if stage == transfer.VERIFY:
        return (
            f"Interrupted. {prefix} has every block and checks them; it will restart into {version}"
            f" if they are right. See the outcome with: {look}"
        )
    return (
        f"Interrupted. {prefix} keeps running {clean(running)}; the same command again sends only "
        "what is still missing."
    )


def _outcome(prefix: str, result: UpdateResult) -> str:
    """Make the last line of a successful `ota`."""
    if result.already:
        return f"{prefix} already runs this image ({clean(result.new_version)}). Nothing was sent."
    slot = clean(result.slot)
    how = "in full"
    if not result.blocks_sent:
        how = "its slot had them all"
    elif result.base:
        how = f"as differences to {result.base[:12]}, which saved {result.bytes_saved:,} B"
    return (
        f"{prefix}: {clean(result.old_version)} → {clean(result.new_version)}, confirmed in slot "
        f"{slot}. Sent {result.bytes_sent:,} B ({result.blocks_sent} of {result.blocks_total} "
        f"blocks, {how}) in {result.transfer_seconds:.1f} s; {result.seconds:.1f} s in all."
    )

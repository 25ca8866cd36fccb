"""Asks a board for its records of boots that ended badly, or clears them: the command `crash`."""

import json
from dataclasses import dataclass
from typing import Any

from mqhost.errors import BoardError
from mqhost.link.session import Session
from mqwire import crash as wire

# How a boot ended.
_SENTENCES = {
    wire.WATCHDOG: "the watchdog reset the board: something did not yield",
    wire.EXCEPTION: "an exception ended the board's run",
    wire.RESET: "the chip panicked, or code called machine.reset()",
}


@dataclass(frozen=True)
class Crash:
    """A boot that ended badly, as its board describes it; `record` is all that it said.

    `uptime` is in seconds, `heap_free` in bytes, and `times` counts the same crash; "" and None:
    not known.
    """

    number: int
    times: int
    kind: str
    running: str
    uptime: int | None
    heap_free: int | None
    mode: str
    version: str
    record: dict[str, Any]

    @classmethod
    def of(cls, record: Any) -> "Crash":
        """Make it from what a board says, whatever that is."""
        facts = record if isinstance(record, dict) else {}
        return cls(
            _number(facts.get("number")),
            _number(facts.get("times")),
            _text(facts.get("kind")),
            _text(facts.get("running")),
            _known(facts.get("uptime_s")),
            _known(facts.get("heap_free")),
            _text(facts.get("mode")),
            _text(facts.get("version")),
            facts,
        )

    @property
    def sentence(self) -> str:
        """How it ended, for people."""
        return _SENTENCES.get(self.kind, self.kind)

    def text(self, key: str) -> str:
        """Return a text of several lines, "log" or "traceback"; "" if there is none."""
        return _text(self.record.get(key)).strip("\n")


def list_crashes(session: Session) -> tuple[list[Crash], dict[str, Any]]:
    """Ask the board for its records, in short, the oldest first; return them and what it said."""
    record = session.request_json("crash", b"list")
    listed = record.get("crashes")
    if not isinstance(listed, list):
        raise BoardError(f"The board's answer to crash has no list: {json.dumps(record)[:60]}")
    return [Crash.of(entry) for entry in listed], record


def show_crash(session: Session, number: int | None = None) -> Crash:
    """Ask the board for one whole record, that of the last crash if no `number` is given.

    BoardError when there is no such record.
    """
    crashes, _ = list_crashes(session)
    numbers = [crash.number for crash in crashes]
    if not numbers:
        raise BoardError(f"{session.prefix} has no crash to show.")
    wanted = numbers[-1] if number is None else number
    if wanted not in numbers:
        known = ", ".join(map(str, numbers))
        raise BoardError(f"{session.prefix} has no crash {number}; it has {known}.")
    return Crash.of(session.request_json("crash", f"show {wanted}".encode()))


def clear_crashes(session: Session) -> int:
    """Have the board forget all its records; return how many there were."""
    return _number(session.request_json("crash", b"clear").get("cleared"))


def _known(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: Any) -> int:
    return _known(value) or 0


def _text(value: Any) -> str:
    return "" if value is None else str(value)

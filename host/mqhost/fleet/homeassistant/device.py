"""Knows a board as Home Assistant sees it: what its entities show, and what was asked of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import mqwire
from mqhost.errors import RefusedError
from mqhost.fleet.rollout.outcome import Outcome
from mqhost.link.roster import Status
from mqhost.signing.offer import Offer
from mqhost.update.preflight import check_failed_before, check_key

RESET_CAUSES = ("power-on", "reset", "watchdog", "deepsleep", "soft", "unknown")

LONGEST = 255  # characters of a state or a summary in Home Assistant
_LONGEST_RUN = 1 << 31  # seconds
_SAME_BOOT = 60.0  # seconds: by so much two answers may differ on when one boot was


@dataclass
class Device:
    """A board at `prefix`, which Home Assistant knows as `ident`.

    `status` is what it, or its will, last said, `facts` what it last said online, `info` its last
    answer. `offer`: the image for its type. `wanted` is the SHA-256 of what somebody has asked for,
    at the Unix time `wanted_at`, "" for nothing. `result` says what came of the last that was
    asked, `percent` how far an update is.
    """

    ident: str
    prefix: str
    offer: Offer | None = None
    status: Status = field(default_factory=dict)
    facts: Status = field(default_factory=dict)
    info: Status = field(default_factory=dict)
    wanted: str = ""
    wanted_at: float = 0.0
    restart: bool = False
    result: str = ""
    result_at: float | None = None
    percent: int | None = None
    booted_at: float | None = None
    attempts: int = 0
    not_before: float = 0.0
    ask_at: float = 0.0
    busy: str = ""  # what is being done with it
    deleted: bool = False  # somebody has removed it in Home Assistant
    shown: dict[str, bytes] = field(default_factory=dict)  # what was published last, by topic

    @property
    def online(self) -> bool:
        """Whether it is there."""
        return self.status.get("state") == mqwire.ONLINE

    def hear(self, status: Status) -> bool:
        """Take a status; return whether it is of another boot than the one before."""
        before = self.facts.get("boot_id")
        self.status = status
        if not self.online:
            self.facts = {**status, **self.facts}
            return False
        self.facts = status
        if status.get("boot_id") == before:
            return False
        self.info, self.booted_at = {}, None
        return True

    def take_info(self, info: Status, now: float) -> None:
        """Take the answer to `info`, which came at the Unix time `now`."""
        self.info = info
        uptime = _number(info.get("uptime_s"))
        if uptime is not None and abs(uptime) < _LONGEST_RUN:
            booted = now - uptime
            if self.booted_at is None or abs(booted - self.booted_at) > _SAME_BOOT:
                self.booted_at = booted

    # What is asked, and what comes of it

    def press_install(self) -> str:
        """Take that somebody wants the image; return what is to be told at once, "" for nothing."""
        if self.offer is None or self.wanted:
            return ""  # once more, of what is under way
        if self.facts.get("image") == self.offer.sha256:
            return f"{self.offer.version} runs already"
        self.wanted, self.wanted_at = self.offer.sha256, time.time()
        return "" if self.online else f"{self.offer.version} waits for the board, which is offline"

    def press_restart(self) -> str:
        """Take that somebody wants a restart; return what is to be told at once, "" for nothing."""
        if not self.online:
            return "not restarted: the board is offline"
        if self.wanted:
            return "not restarted: an update is under way"
        self.restart = True
        return ""

    def next_job(self, now: float, patience: float) -> str:
        """Return what is to be done with the board: restart, install, ask, or "" for nothing. What
        is wanted and cannot be, or has waited for `patience` seconds, is given up.
        """
        if self.restart:
            self.restart = False
            return "restart"
        if self.wanted and (self.offer is None or self.offer.sha256 != self.wanted):
            self.settle("not installed: there is another image for the board by now", now)
        if self.wanted and not self.online and now > self.wanted_at + patience:
            self.settle("not installed: the board was offline for too long", now)
        if not self.online:
            return ""
        if self.wanted:
            return "install" if now >= self.not_before else ""
        return "ask" if now >= self.ask_at else ""

    def installed(self, outcome: Outcome, text: str, now: float, tries: int, pause: float) -> None:
        """Take how an update ended: what the board could not help is tried again, up to `tries`
        times, the second one after `pause` seconds. Silence that ends offline is not counted.
        """
        if outcome.passing:
            self.attempts += outcome.counted and self.online
        if outcome.confirmed:
            self.settle(text, now)
        elif outcome.passing and self.attempts < tries:
            self.percent = None
            self.not_before = now + pause * max(1, self.attempts)
            self.tell(f"tried again soon: {text}", now)
        else:
            self.settle(f"not installed: {text}", now)

    def settle(self, result: str, now: float) -> None:
        """Take what came of what was asked: nothing is wanted any more."""
        self.wanted, self.percent, self.attempts, self.not_before = "", None, 0, 0.0
        self.tell(result, now)

    def tell(self, result: str, now: float) -> None:
        """Take what is to be shown of the last that was asked."""
        self.result, self.result_at = result, now

    # What is shown

    def state(self, bridge: str) -> dict[str, Any]:
        """Return what the sensors show. The bridge that says so is responsible for the board."""
        facts = self.facts | self.info
        cause = facts.get("reset_cause")
        return {
            "rssi": _number(facts.get("rssi")),
            "heap_free": _number(facts.get("heap_free")),
            "uptime_s": _number(facts.get("uptime_s")),
            "last_reset": _iso(self.booted_at),
            "reset_cause": cause if cause in RESET_CAUSES else None,
            "version": shown_text(facts.get("version")),
            "prefix": self.prefix,
            "result": self.result[:LONGEST],
            "result_at": _iso(self.result_at),
            "wanted": self.wanted,
            "wanted_at": self.wanted_at if self.wanted else None,
            "bridge": bridge,
        }

    def update(self, url: str = "") -> dict[str, Any]:
        """Return what the update entity shows; `url` tells more of the image.

        Versions are followed by the beginning of the image's hash. So Home Assistant does not order
        them, but takes another image for an update, and the same for none: as we do.
        """
        assert self.offer
        installed = self.label(self.facts.get("version"), self.facts.get("image"))
        latest = self.label(self.offer.version, self.offer.sha256)
        runs_it = self.facts.get("image") == self.offer.sha256
        summary, outdated = ("", False) if runs_it else self.obstacle()
        if self.result and not summary and not runs_it:
            summary = self.result
        record = {
            "installed_version": installed,
            "latest_version": installed if outdated else latest,
            "title": f"MQBoard {self.offer.board}",
            "release_summary": _cut(summary),
            "in_progress": bool(self.wanted),
            "update_percentage": self.percent if self.wanted else None,
        }
        return record | ({"release_url": url} if url else {})

    def obstacle(self) -> tuple[str, bool]:
        """Say why the board would refuse the image, "" if nothing is known against it; and whether
        it is for being older than what it has had.
        """
        assert self.offer
        oldest = _number(self.info.get("oldest"))
        if oldest is not None and self.offer.seq < oldest:
            return f"{self.offer.version} is older than what the board has confirmed before.", True
        facts = self.facts | self.info
        try:
            check_key(self.offer, facts, self.prefix)
            check_failed_before(self.offer, facts, self.prefix)
        except RefusedError as error:
            return str(error), False
        return "", False

    @staticmethod
    def label(version: Any, image: Any) -> str:
        """Return how an image is called: its version, and the beginning of its hash."""
        known = isinstance(image, str) and len(image) >= 7
        return (shown_text(version) or "unknown") + (f" ({image[:7]})" if known else "")

    def inherit(self, record: Mapping[str, Any]) -> None:
        """Go on from the `state` that another bridge, or an earlier run, has left."""
        wanted, at = record.get("wanted"), _number(record.get("wanted_at"))
        if isinstance(wanted, str) and wanted and not self.wanted:
            self.wanted, self.wanted_at = wanted, float(at or 0)
        result, said = record.get("result"), record.get("result_at")
        if isinstance(result, str) and isinstance(said, str) and not self.result:
            try:
                self.result, self.result_at = result, datetime.fromisoformat(said).timestamp()
            except ValueError:
                return


def _number(value: Any) -> float | int | None:
    """Return a number that can be shown, None for anything else."""
    usable = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if usable and abs(value) < 1e15 else None  # nor NaN


def shown_text(value: Any) -> str:
    """Return a word of a board's, as far as it can be shown; "" for what is none."""
    text = value if isinstance(value, str) else ""
    return "".join(letter for letter in text if letter.isprintable())[:60]


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

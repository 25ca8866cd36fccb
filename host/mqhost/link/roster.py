"""Collects what the boards of a broker last said of themselves: their retained statuses, by prefix.

A prefix has any number of levels, and MQTT no wildcard for "any number, then mqb/status". So there
is a filter for each number of levels that a prefix can have: nothing but statuses arrives, however
much else the broker holds.
"""

import difflib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paho.mqtt.client import topic_matches_sub

import mqwire
from mqhost.errors import BrokerError, UsageError
from mqhost.link.answer import board_json
from mqhost.link.connection import Connection, Wide
from mqwire import names

Status = dict[str, Any]

ALL = "#"
FEW = 100  # patterns that are listened to one by one: each is work for a broker
# No clock of a board is right that says less, or more.
_FIRST_TIME, _LAST_TIME = 1_600_000_000, 1 << 33
_LARGEST = 1 << 16  # bytes of a status: no board has so much to say of itself
_DEEPEST = (mqwire.MAX_PREFIX + 1) // 2  # levels, of one character each
_STATUS = mqwire.status_topic("")
# Retained messages follow the subscription; when nothing came for so long, that was all.
_QUIET = 0.5
_LONGEST = 10.0
_ALIKE = 0.75  # of 1: below that it is another name rather than a typo
# A board that sleeps is overdue so many seconds after it should have woken, and such a part of its
# sleep: the clock that wakes an ESP32 is a resistor and a capacitor.
_OVERDUE, _DRIFT = 120.0, 0.05
_RESTARTS = 120.0  # seconds: a board that has said that it restarts is back by then


@dataclass(frozen=True)
class Sighting:
    """What was last said at a prefix. `heard_at`: the Unix time, if we were there when it was."""

    status: Status
    heard_at: float | None


class Roster:
    """The statuses at prefixes that match `pattern`, or one of several, kept up to date while the
    `with` block runs.

    `changed(prefix)` is called after each, in the network thread. Raises UsageError for a pattern
    that is none, BrokerError when the broker does not let us listen.
    """

    def __init__(
        self,
        connection: Connection,
        pattern: str | Sequence[str] = ALL,
        changed: Callable[[str], None] = lambda prefix: None,
    ) -> None:
        patterns = (pattern,) if isinstance(pattern, str) else pattern
        name = f"the statuses of {', '.join(patterns)}"
        filters = {filter_: None for one in patterns for filter_ in status_filters(one)}
        self._subscription = Wide(name, list(filters), self._hear)
        self._filters: dict[int, list[str]] = {}  # by their levels: a topic has as many
        for filter_ in filters:
            self._filters.setdefault(filter_.count("/"), []).append(filter_)
        self._connection = connection
        self._changed = changed
        self._news = threading.Condition()
        self._sightings: dict[str, Sighting] = {}
        self._generations: dict[str, int] = {}  # of the connection that last told of each
        self._count = 0

    def __enter__(self) -> "Roster":
        self._connection.subscribe(self._subscription)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.unsubscribe(self._subscription)

    def settle(self, quiet: float = _QUIET) -> dict[str, Sighting]:
        """Wait until the broker has sent what it holds, and nothing more for `quiet` seconds;
        return the sightings by prefix, sorted.
        """
        deadline = time.monotonic() + _LONGEST
        with self._news:
            while time.monotonic() < deadline:
                before = self._count
                self._news.wait(quiet)
                if self._count == before:
                    break
        return self.sightings()

    def sightings(self) -> dict[str, Sighting]:
        """Return what is known by now, by prefix, sorted."""
        with self._news:
            return dict(sorted(self._sightings.items()))

    def sighting(self, prefix: str) -> Sighting | None:
        """Return what was last said at `prefix`, as far as it is known; None for nothing."""
        return self._sightings.get(prefix)

    def fresh(self, prefix: str) -> bool:
        """Return whether this connection has told of that board, and not only one before it."""
        return self._generations.get(prefix) == self._connection.generation

    def learn(self, prefix: str, status: Status) -> None:
        """Take what a board that was asked says of itself."""
        with self._news:
            self._generations[prefix] = self._connection.generation
            self._sightings[prefix] = Sighting(status, time.time())
        self._changed(prefix)

    def forget(self, prefixes: Iterable[str]) -> None:
        """Have the broker forget the statuses at `prefixes`; BrokerError if it does not."""
        for prefix in prefixes:
            message = self._connection.publish(mqwire.status_topic(prefix), b"", retain=True)
            try:
                message.wait_for_publish(self._connection.settings.timeout)
                done = message.is_published()
            except (RuntimeError, ValueError):  # without a connection
                done = False
            if not done:
                raise BrokerError(f"The broker does not forget {prefix}. Try again.")

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message, in the network thread."""
        prefix = topic.removesuffix(_STATUS)
        if not prefix or prefix == topic or not self._wants(topic):
            return
        status = parse_status(payload)
        with self._news:
            if retained:
                self._count += 1
                self._news.notify_all()
            self._generations[prefix] = self._connection.generation
            seen = self._sightings.get(prefix)
            if retained and seen and seen.status == status:
                return  # once more after a lost connection
            if status is not None:
                self._sightings[prefix] = Sighting(status, None if retained else time.time())
            elif prefix in self._sightings:  # somebody has removed it, or it is none
                del self._sightings[prefix]
        self._changed(prefix)

    def _wants(self, topic: str) -> bool:
        """Return whether it was asked for here: a session may be with any board."""
        filters = self._filters.get(topic.count("/"), ())
        return any(topic_matches_sub(filter_, topic) for filter_ in filters)


def status_filters(pattern: str) -> list[str]:
    """Return the filters for the statuses of all prefixes that match `pattern`."""
    return [prefix + _STATUS for prefix in prefix_filters(pattern)]


def prefix_filters(pattern: str) -> list[str]:
    """Return filters for all prefixes that match `pattern`, an MQTT filter, without any #: they can
    be followed by the rest of a topic. UsageError if it is none.
    """
    levels = pattern.split("/")
    try:
        names.check_text(pattern, mqwire.MAX_PREFIX)
    except mqwire.WireError as error:
        raise UsageError(f"{pattern!r:.60} matches no prefix: {error}.") from error
    if "" in levels or pattern.startswith("$"):
        raise UsageError(f"{pattern!r:.60} matches no prefix: none is written like that.")
    for number, level in enumerate(levels):
        last = number == len(levels) - 1
        if len(level) > 1 and ("+" in level or "#" in level) or level == "#" and not last:
            raise UsageError(
                f"{pattern!r:.60} is no pattern: + stands for one whole level, as in esp32/+, and "
                "# for all levels from there on, as in esp32/#."
            )
    if levels[-1] != ALL:
        return [pattern]
    fixed = levels[:-1]
    depths = range(max(len(fixed), 1), _DEEPEST + 1)
    return ["/".join(fixed + ["+"] * (depth - len(fixed))) for depth in depths]


def depths_of(prefixes: Iterable[str]) -> list[str]:
    """Return patterns for all prefixes with as many levels as any of `prefixes`: a few where each
    prefix by itself, or # with its filter for each depth, would be much work for a broker.
    """
    return ["/".join("+" * depth) for depth in sorted({one.count("/") + 1 for one in prefixes})]


def nearest(prefix: str, known: Iterable[str]) -> list[str]:
    """Return those of the `known` prefixes that `prefix` may be a typo of, the nearest first."""
    return difflib.get_close_matches(prefix, list(known), n=3, cutoff=_ALIKE)


def meant(connection: Connection, *prefixes: str) -> list[str]:
    """Return for each of `prefixes` a question, of which prefix it is a typo, as far as we may
    look, or of which name that mqboard.toml has for a board; "" for one that is like none.
    """
    try:
        with Roster(connection) as roster:
            known = list(roster.settle())
    except BrokerError:
        known = []
    return [_question(prefix, known, connection.settings.names) for prefix in prefixes]


def _question(prefix: str, known: Iterable[str], names: Iterable[str]) -> str:
    known = list(known)
    if any(one.startswith(f"{prefix}/") for one in known):
        return f" Do you mean {prefix}/#, all below it?"
    likely = [*nearest(prefix, known), *(f"--to {name}" for name in nearest(prefix, names))]
    return f" Do you mean {' or '.join(likely)}?" if likely else ""


def told_time(status: Status) -> float | None:
    """Return the Unix time at which a board said this status, if it says one that can be."""
    at = status.get("at")
    return float(at) if isinstance(at, (int, float)) and _is_time(at) else None


def _is_time(at: float) -> bool:
    return _FIRST_TIME < at < _LAST_TIME


def wakes_at(status: Status) -> float | None:
    """Return the Unix time at which a board that is asleep wakes, if it says one that can be."""
    until = status.get("until") if status.get("state") == mqwire.ASLEEP else None
    return float(until) if isinstance(until, int | float) and _is_time(until) else None


def is_asleep(status: Status) -> bool:
    """Return whether a board sleeps, and has not failed to wake when it should."""
    due = wakes_at(status)
    if due is None:
        return status.get("state") == mqwire.ASLEEP
    return time.time() < due + _OVERDUE + (due - (told_time(status) or due)) * _DRIFT


def is_away(status: Status) -> bool:
    """Return whether a board is offline or asleep, by its own last word or its will."""
    return status.get("state") in (mqwire.OFFLINE, mqwire.ASLEEP)


def asleep_text(status: Status) -> str:
    """Say that a board is asleep, and when it wakes; or when it should have."""
    due = wakes_at(status)
    if due is None:
        seconds = status.get("sleeps_s")
        whole = isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds < 1e7
        told = f"asleep for {seconds:,} s at a time" if whole else "asleep"
        return f"{told}; it does not know the time, so not until when"
    when = f"{datetime.fromtimestamp(due, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if is_asleep(status):
        return f"asleep until {when}, for {max(0, round(due - time.time())):,} s"
    return f"overdue: it was asleep, and should have woken at {when}"


def offline_text(status: Status) -> str:
    """Say that a board is offline, since when as far as that is known, and why; or that it is
    asleep, and until when.

    When a board just vanished its broker does not tell: a will has no time.
    """
    if status.get("state") == mqwire.ASLEEP:
        return asleep_text(status)
    at = told_time(status)
    since = f" since {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at else ""
    return f"offline{since} ({status.get('reason', 'no reason known')!s:.60})"


def is_restarting(status: Status) -> bool:
    """Return whether a board that is offline has said so itself, as it does before a restart, and
    may be about to come back. A will, which its broker tells, has no boot.
    """
    at = told_time(status)
    return "boot_id" in status and (at is None or time.time() - at < _RESTARTS)


def parse_status(payload: bytes) -> Status | None:
    """Return the status object, or None for what is no JSON object, or no board's."""
    if len(payload) > _LARGEST:
        return None
    try:
        status = board_json(payload)
    except (ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) else None

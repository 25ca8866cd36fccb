"""Leaves the note "an update is waiting" at boards whose turn has come and that are asleep or away,
and takes it away again: from what a rollout is like to retained messages (docs/protocol.md).

What the broker holds counts, not what is known here: so a note of a driver that was killed is taken
away by the next one, or by whoever drives another rollout of the same database.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import MQTTMessageInfo

from mqhost.errors import BrokerError
from mqhost.fleet.rollout.engine import has_turn, may_send
from mqhost.fleet.rollout.states import (
    ABORTED,
    ABSENT,
    FINISHED,
    QUEUED,
    SETTLING,
    Board,
    Rollout,
    Seen,
)
from mqhost.link.connection import Connection, Wide
from mqhost.link.roster import ALL, prefix_filters
from mqhost.signing.offer import Offer
from mqwire import waiting

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store

_TOPIC = waiting.topic("")
_FLUSH = 5.0  # seconds


def wanted(
    rollout: Rollout,
    boards: Iterable[Board],
    seen: Mapping[str, Seen],
    noted: Callable[[str], bool],
    now: float,
    zone: tzinfo | None = None,
) -> Iterator[Board]:
    """Yield the boards at which a note is to be: those whose turn has come and that are offline,
    as long as they can be sent to. One that has come back keeps it until it has ended.
    """
    can_send = may_send(rollout, now, zone)
    for board in boards:
        if board.ended or not has_turn(board, rollout):
            continue
        stays = noted(board.prefix)
        if board.state in QUEUED:
            wants = can_send and (stays or board.state == ABSENT)
        elif board.state == SETTLING:
            one = seen.get(board.prefix)
            wants = stays or not (one and (one.online or one.asleep))
        else:
            wants = stays
        if wants:
            yield board


class Notes:
    """The notes at boards; those that the broker has are known while the `with` block runs. Those
    of other rollouts are left alone, but by `sweep`.
    """

    def __init__(self, connection: Connection, zone: tzinfo | None = None) -> None:
        filters = [prefix + _TOPIC for prefix in prefix_filters(ALL)]
        self._subscription = Wide("the notes for boards", filters, self._hear)
        self._connection = connection
        self._zone = zone
        self._lock = threading.Lock()
        self._there: dict[str, tuple[bytes, str]] = {}  # what the broker has, and whose it is
        self._generation = 0
        self._sent: list[MQTTMessageInfo] = []

    def __enter__(self) -> "Notes":
        # Where the broker's rules know nothing of notes, there are none; all else goes on.
        with contextlib.suppress(BrokerError):
            self._connection.subscribe(self._subscription)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.unsubscribe(self._subscription)

    def at(self, prefix: str) -> dict[str, Any]:
        """Return what the note at `prefix` says; {} where there is none."""
        with self._lock:
            payload, _ = self._there.get(prefix, (b"", ""))
        return _parse(payload)

    def tell(
        self,
        rollout: Rollout,
        boards: Iterable[Board],
        seen: Mapping[str, Seen],
        now: float,
        offer_of: Callable[[str], Offer],
    ) -> None:
        """Have the notes be as `rollout` and its boards are."""
        mine = self._of(rollout)
        found = wanted(rollout, boards, seen, mine.__contains__, now, self._zone)
        notes = {board.prefix: note(rollout, board, offer_of(board.image)) for board in found}
        self._make(notes, mine, signature(rollout))

    def withdraw(self, rollout: Rollout) -> None:
        """Take all notes of `rollout` away, and wait until the broker has done so: nobody drives
        it from now on."""
        self._make({}, self._of(rollout), "")
        deadline = time.monotonic() + _FLUSH
        for message in self._sent:
            with contextlib.suppress(RuntimeError, ValueError):  # without a connection
                message.wait_for_publish(max(0.0, deadline - time.monotonic()))

    def sweep(self, store: "Store", now: float) -> None:
        """Take away what killed drivers have left: of rollouts in `store` that are over, at boards
        that have ended, and whatever has lapsed."""
        rollouts = {signature(one): one for one in store.rollouts()}
        with self._lock:
            there = dict(self._there)
        ended: dict[str, frozenset[str]] = {}
        for prefix, (payload, by) in there.items():
            until = _parse(payload).get("until")
            lapsed = not isinstance(until, int) or until < now
            if by in rollouts and not lapsed:
                if by not in ended:
                    ended[by] = _no_more(*store.read(rollouts[by].id))
                lapsed = prefix in ended[by]
            if lapsed:
                self._clear(prefix)

    def _of(self, rollout: Rollout) -> dict[str, bytes]:
        """Return the notes of `rollout`."""
        whose = signature(rollout)
        with self._lock:
            return {prefix: one for prefix, (one, by) in self._there.items() if by == whose}

    def _make(self, wished: Mapping[str, bytes], mine: Mapping[str, bytes], by: str) -> None:
        """Publish what is not there as wished, and clear those of `mine` that are not wished."""
        again = self._connection.generation != self._generation  # the broker may have forgotten
        self._generation = self._connection.generation
        self._sent = [message for message in self._sent if not message.is_published()]
        for prefix, payload in wished.items():
            if again or mine.get(prefix) != payload:
                self._publish(prefix, payload, by)
        for prefix in mine:
            if prefix not in wished:
                self._clear(prefix)

    def _publish(self, prefix: str, payload: bytes, by: str) -> None:
        with self._lock:
            self._there[prefix] = (payload, by)
        self._sent.append(self._connection.publish(waiting.topic(prefix), payload, retain=True))

    def _clear(self, prefix: str) -> None:
        with self._lock:
            self._there.pop(prefix, None)
        self._sent.append(self._connection.publish(waiting.topic(prefix), b"", retain=True))

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message, in the network thread."""
        prefix = topic.removesuffix(_TOPIC)
        if not prefix or prefix == topic:
            return
        with self._lock:
            if payload:
                self._there[prefix] = (payload, str(_parse(payload).get("by")))
            else:
                self._there.pop(prefix, None)


def note(rollout: Rollout, board: Board, offer: Offer) -> bytes:
    """Return what is left at `board`: what waits for it, and until when."""
    until = (board.turn_at or 0.0) + rollout.options.wait
    return pack(offer, until, signature(rollout))


def pack(offer: Offer, until: float, by: str) -> bytes:
    """Return a note of `by`: that image waits, until that Unix time."""
    record = {
        "image": offer.sha256,
        "version": offer.version,
        "size": offer.size,
        "until": int(until),
        "by": by,
    }
    return json.dumps(record, separators=(",", ":")).encode()


def signature(rollout: Rollout) -> str:
    """Return what names `rollout` among those of all databases."""
    return f"rollout {rollout.id} of {rollout.created_at:.0f}"


def _parse(payload: bytes) -> dict[str, Any]:
    """Return what stands in a note; {} for what is none."""
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(payload)
        if isinstance(record, dict) and len(payload) <= waiting.MAX_NOTE:
            return record
    return {}


def _no_more(rollout: Rollout, boards: Iterable[Board]) -> frozenset[str]:
    """Return the boards for which nothing waits any more."""
    over = rollout.state in (ABORTED, FINISHED)
    return frozenset(board.prefix for board in boards if over or board.ended)

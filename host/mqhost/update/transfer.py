"""Transfers an image: offers and blocks until the board has it all.

Every answer to an offer says which blocks the board still needs and how much may be in flight;
blocks go out within that credit. Whatever goes wrong on the way (silence, a lost connection, a
restarted board) has one remedy: the same offer again under a new id. The contract is mqwire.update.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import mqwire
from mqhost.errors import BoardError, BrokerError, SilentBoardError, ToolError, UsageError
from mqhost.link.exchange import Exchange, new_ident
from mqhost.link.session import Session
from mqhost.progress import Progress
from mqhost.signing.offer import Offer
from mqhost.update.blocks import Encoder
from mqhost.update.delta import differences
from mqhost.update.failures import failed_image, failure, rolled_back
from mqwire import update as wire

# What `progress` is told: the board proves what it runs already; we look for differences to what
# runs; the board compares its slot, takes blocks, checks the whole image, restarts, and proves the
# new image good.
SETTLE, DIFFER = "settle", "differ"
COMPARE, SEND, VERIFY, RESTART, CONFIRM = "compare", "send", "verify", "restart", "confirm"

# Seconds of silence after which the offer is sent again; they double until there is progress.
_STALL_COMPARE = 5.0
_STALL_SCAN = 30.0  # a board of protocol 1, which does not say how far comparing or verifying is
_STALL_SEND = 2.0
_STALL_SENT = 4.0  # everything is sent: the last blocks are lost, or the board reads back
_STALL_VERIFY = 10.0  # the board has every block: it reads back
_STALL_REJECTED = 0.5  # everything sent was received, and yet blocks are missing
_MAX_GROWTH = 8
_POLL = 0.25
_BUSY_PAUSE = 1.0
# A sender that was just killed keeps a board busy for a few seconds.
_BUSY_PATIENCE = 10.0
# What a board has loaded for another command is unloaded within that time.
_ROOM_PATIENCE = 12.0
# Firmware from before mqwire.names takes blocks on topics of ASCII and up to 200 bytes only. Where
# that of the board's own prefix is none, they go to one below that of broadcasts.
_PLAIN_MAX = 200


class Transfer:
    """The transfer of one image: offers until the board has it all.

    `base`, the image that the board runs, makes it travel as differences to that. When the board
    does not take these, what is missing goes in full, and `base` is None.
    """

    def __init__(
        self,
        session: Session,
        offer: Offer,
        app: bytes,
        before: dict[str, Any],
        patience: float,
        progress: Progress,
        retry_failed: bool = False,
        base: bytes | None = None,
    ) -> None:
        self.bytes_sent = 0
        self.blocks_sent = 0
        self.offers = 0
        self.base = base
        self.encoder = Encoder(app)
        self.progress = progress
        self.boot_id = before.get("boot_id")  # of the boot in which the board took the last blocks
        self.old_version = str(before.get("version"))
        self._session = session
        self._offer = offer
        self._app = app
        self._failed_before = failed_image(before)
        self._options: dict[str, Any] = {"progress": True}
        if retry_failed:
            self._options["retry_failed"] = True
        self._tells = _protocol(before) > 1  # how far it is
        self._furthest: dict[int, int] = {}  # by code: how many blocks were compared, or verified
        self._patience = patience
        self._give_up = 0.0
        self._began = 0.0
        self._accepted = False  # the board has taken an offer of ours, or perhaps: it was silent
        self._topic = ""  # of the blocks: the board knows us by it
        self._advice = ""  # when it is another than usual
        self._growth = 1
        self._fewest = offer.count + 1
        self._completed = False  # every block the board needed was once sent

    def run(self) -> None:
        """Return when the image is installed; raise if it is refused, failed, or went silent."""
        if self.base is not None:
            self.progress(DIFFER, 0, 0)
            self.encoder = Encoder(self._app, differences(self.base, self._app))
            self._options["base"] = hashlib.sha256(self.base).hexdigest()
        self._give_up = time.monotonic() + self._patience
        self._began = time.monotonic()
        connection = self._session.connection
        while True:
            generation = connection.generation
            try:
                with self._session.open("update") as exchange:
                    if self._attempt(exchange):
                        return
            except BoardError as error:
                if error.code is None and self._advice:  # the broker may not let it subscribe
                    raise BoardError(f"{error}\n{self._advice}") from error
                raise
            except BrokerError:
                if connection.connected and connection.generation == generation:
                    raise  # not a lost connection, which has the same patience as the rest
            if self._left() <= 0 or not connection.wait_connected(self._left()):
                raise self._gave_up()
            self._growth = min(self._growth * 2, _MAX_GROWTH)

    def _attempt(self, exchange: Exchange) -> bool:
        """Offer once and send what is asked for: True when installed, False to offer again."""
        topic = self._topic or mqwire.blocks_topic(self._session.prefix, exchange.ident)
        self._topic = topic
        request = self._request(topic)
        attempt = _Attempt(self.encoder, self._offer.count, self._tells)
        presence = self._presence()
        self.progress(COMPARE, 0, self._offer.count)
        self.bytes_sent += exchange.send(request)
        self.offers += 1
        alive = time.monotonic()
        while True:
            for payload, count in attempt.sendable():
                self._session.connection.publish(topic, payload, qos=0)
                self.bytes_sent += len(payload)
                self.blocks_sent += count
            self._completed = self._completed or attempt.all_sent
            message = exchange.receive(_POLL)
            if message is not None:
                final, moved = self._take(attempt, message.data)
                if final is not None:
                    return final
                if moved:
                    alive = time.monotonic()
                continue
            if self._by_status():
                return True
            silent = time.monotonic() - alive > attempt.stall() * self._growth
            if silent and attempt.rejected:
                self._send_in_full()
            # A board of protocol 1 compares its slot before it answers.
            self._accepted = self._accepted or silent
            if silent or self._presence() != presence or self._left() <= 0:
                return False

    def _request(self, topic: str) -> bytes:
        """Return the body of the update command; UsageError if it is too long for one."""
        options = {"topic": topic} | self._options
        # Not as ASCII: MicroPython's json does not put surrogates together.
        text = json.dumps(options, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            return wire.pack_request(self._offer.to_bytes(), self._offer.signature, text)
        except mqwire.WireError as error:
            raise UsageError(
                f"The offer is too long for a command: {error}. The image is too large."
            ) from error

    def _take(self, attempt: "_Attempt", data: bytes) -> tuple[bool | None, bool]:
        """Digest one reply: (how the attempt ends, or None; whether there was progress)."""
        try:
            code, credit, received, body = wire.unpack_reply(data)
        except mqwire.WireError:
            return None, False
        if attempt.needed is None and code in (wire.RECEIVING, wire.INSTALLED):
            self.boot_id = (self._session.last_status or {}).get("boot_id", self.boot_id)
        if code in (wire.COMPARING, wire.VERIFYING):
            self._accepted = True
            return None, self._passes(code, body)
        if code == wire.RECEIVING:
            self._accepted = True
            if not attempt.update(credit, received, body):
                return None, False
            missing = attempt.missing
            if missing < self._fewest:
                self._fewest, self._growth = missing, 1
                self._give_up = time.monotonic() + self._patience
            total = self._offer.count
            self.progress(*(SEND, total - missing) if missing else (VERIFY, 0), total)
            return None, True
        if code in (wire.INSTALLED, wire.ALREADY_RUNNING) or self._by_status():
            return True, True
        if code == wire.WRONG_BASE and self.base is not None:
            self._send_in_full()
            return False, True
        if self._passes_by(code):
            new = self._offer.sha256
            self._session.wait_status(lambda status: status.get("image") == new, _BUSY_PAUSE)
            return False, False
        if code == wire.MALFORMED and not _taken_by_all(self._topic):
            self._topic = mqwire.blocks_topic(wire.STREAM_ROOT, new_ident())
            self._advice = (
                f"Its firmware is too old to take blocks below such a prefix; they went to "
                f"{self._topic}. The broker's rules must let the board read there, and you write."
            )
            return False, True
        raise failure(code, body)

    def _passes_by(self, code: int) -> bool:
        """Return whether a refusal may be another one in a moment."""
        passed = time.monotonic() - self._began
        if code == wire.BUSY:
            # With our own previous offer, perhaps: it may be about to restart.
            return self._accepted or passed < _BUSY_PATIENCE
        return code == wire.NO_MEMORY and passed < _ROOM_PATIENCE

    def _passes(self, code: int, body: bytes) -> bool:
        """Take a COMPARING or VERIFYING reply; False if it is nonsense."""
        try:
            done, total = wire.unpack_progress(body)
        except mqwire.WireError:
            return False
        if total != self._offer.count or done > total:
            return False
        if done > self._furthest.get(code, -1):
            self._furthest[code] = done
            self._give_up = time.monotonic() + self._patience
        self.progress(COMPARE if code == wire.COMPARING else VERIFY, done, total)
        return True

    def _send_in_full(self) -> None:
        """Send no differences from now on."""
        self.base = None
        self.encoder = Encoder(self._app)
        self._options.pop("base", None)

    def _by_status(self) -> bool:
        """Return whether the status says that the new image runs; RolledBack if it did."""
        status = self._session.last_status or {}
        if status.get("state") != mqwire.ONLINE:
            return False
        if status.get("image") == self._offer.sha256:
            return True
        failed = failed_image(status) == self._offer.sha256
        news = self._completed or self._failed_before != self._offer.sha256
        if failed and news and differs(status.get("boot_id"), self.boot_id):
            raise rolled_back(self._offer.sha256, self._offer.version, status)
        return False

    def _presence(self) -> tuple[int, int]:
        """Return what changes when we or the board were away: connections made, births heard."""
        return self._session.connection.generation, self._session.births

    def _left(self) -> float:
        return max(0.0, self._give_up - time.monotonic())

    def _gave_up(self) -> ToolError:
        if not self._session.connection.connected:
            return self._session.silence(self._patience)
        missing = min(self._fewest, self._offer.count)
        status = self._session.last_status or {}
        return SilentBoardError(
            f"No progress for {self._patience:g} s: {missing} of {self._offer.count} blocks are "
            f"still missing, and {self._session.prefix} was last seen "
            f"{status.get('state', 'never')!s:.20}. It keeps {self.old_version}; run the same "
            f"command again to resume. {self._advice}".rstrip()
        )


class _Attempt:
    """What is known since one offer: the needed blocks, the credit, and what is in flight."""

    def __init__(self, encoder: Encoder, count: int, tells: bool) -> None:
        self.needed: bytes | None = None
        self.missing = count
        self._count = count
        self._tells = tells
        self._credit = 0
        self._sent = 0
        self._received = 0
        self._messages = encoder.messages(self._numbers())
        self._next: tuple[bytes, int] | None = None

    def update(self, credit: int, received: int, bitmap: bytes) -> bool:
        """Take a RECEIVING reply; False if it is older than the last, or nonsense, or no news."""
        if len(bitmap) != -(-self._count // 8) or (received - self._received) & 0x8000:
            return False
        # The bits after the last block mean nothing.
        missing = (int.from_bytes(bitmap, "big") >> (-self._count % 8)).bit_count()
        news = self.needed is None or received != self._received or missing != self.missing
        self.needed, self.missing = bitmap, missing
        self._credit, self._received = credit, received
        return news

    def sendable(self) -> Iterator[tuple[bytes, int]]:
        """Yield the messages that the credit allows; prepares one more meanwhile."""
        if self.needed is None:
            return
        while self._prepare() and self._flying() < self._credit:
            assert self._next is not None
            message, self._next = self._next, None
            self._sent += 1
            yield message

    def stall(self) -> float:
        """Return how many seconds of silence are too many in this state."""
        if self.needed is None:
            return _STALL_COMPARE if self._tells else _STALL_SCAN
        if not self.missing:
            return _STALL_VERIFY if self._tells else _STALL_SCAN
        if not self.all_sent:
            return _STALL_SEND
        return _STALL_SENT if self._flying() else _STALL_REJECTED

    @property
    def all_sent(self) -> bool:
        """Whether every block that was asked for is on its way."""
        return self.needed is not None and self._next is None

    @property
    def rejected(self) -> bool:
        """Whether everything was sent and received, and yet blocks are missing."""
        return self.all_sent and bool(self.missing) and not self._flying()

    def _numbers(self) -> Iterator[int]:
        """Yield the needed blocks in order, by the newest bitmap at the time each is due."""
        for number in range(self._count):
            if self.needed is not None and wire.bitmap_get(self.needed, number):
                yield number

    def _prepare(self) -> bool:
        if self._next is None:
            self._next = next(self._messages, None)
        return self._next is not None

    def _flying(self) -> int:
        flying = (self._sent - self._received) & 0xFFFF
        return 0 if flying & 0x8000 else flying


def _protocol(info: dict[str, Any]) -> int:
    """Return the version of the protocol that a board says it speaks."""
    protocol = info.get("protocol")
    return protocol if isinstance(protocol, int) else 1


def differs(boot_id: Any, known: Any) -> bool:
    """Return whether two boot ids are known and not the same."""
    return boot_id is not None and known is not None and boot_id != known


def _taken_by_all(topic: str) -> bool:
    """Return whether boards with any firmware take blocks on `topic`."""
    return topic.isascii() and len(topic) <= _PLAIN_MAX

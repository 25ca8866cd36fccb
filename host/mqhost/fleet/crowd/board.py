"""Plays one board: its status, its commands, its restarts and its faults.

It is the board of docs/protocol.md without MicroPython: nothing runs on it but its management.
"""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mqwire
from mqhost.fleet.crowd.commands import Commands
from mqhost.fleet.crowd.decode import Image, cut
from mqhost.fleet.crowd.faults import ROLLBACK, SILENT
from mqhost.fleet.crowd.figures import Figures
from mqhost.fleet.crowd.line import Hello, Line
from mqhost.fleet.crowd.receiver import Receiver
from mqhost.signing.keys import PublicKey
from mqwire import update as wire

ID = "c20d"  # how the hardware ids of a crowd begin: no chip's does
_BACKOFF = 0.5, 40.0  # seconds: the first and the longest, before chance
_GOODBYE_S = 10.0  # for the broker to acknowledge a goodbye
# A board proves all the time that commands reach it: by one of its own, which it awaits for so long
# and sends again after so long; and restarts if none has come back for so long.
_PROOF_S, _PROOF_EVERY_S, _MUTE_S = 10.0, 30.0, 300.0


@dataclass(frozen=True)
class Kind:
    """A type of board, and what it runs at first."""

    board: str
    mcu: str
    image: Image


@dataclass(frozen=True)
class World:
    """What all boards of a crowd share.

    `connect(line)` begins to connect. Times are in seconds: from switching off to connecting again,
    until a boot is healthy, for a block that is written, without a connection by a fault.
    """

    connect: Callable[[Line], None]
    username: str = ""
    password: str = ""
    keepalive: int = 60
    keys: tuple[PublicKey, ...] = ()
    restart_s: float = 2.0
    health_s: float = 1.0
    block_s: float = 0.0
    away_s: float = 30.0
    figures: Figures = field(default_factory=Figures)
    images: dict[str, Image] = field(default_factory=dict)  # by SHA-256, each once


class Board:
    """Board `number` at `prefix`, with the `fault` that it has ("" for none); it speaks `protocol`,
    as its firmware does.
    """

    def __init__(
        self,
        world: World,
        number: int,
        prefix: str,
        kind: Kind,
        fault: str = "",
        protocol: int = mqwire.PROTOCOL,
    ) -> None:
        self.prefix, self.protocol = prefix, protocol
        self.board, self.mcu, self.image = kind.board, kind.mcu, kind.image
        self.fault = fault
        self.keys, self.block_s, self.figures = world.keys, world.block_s, world.figures
        self.slot_state = "valid"
        self.failed: dict[str, Any] | None = None
        self.given: set[str] = set()  # the images that it was given
        self._world = world
        self._id = f"{ID}{number:08x}"
        self._slot, self._before = 0, kind.image
        self._reset_cause = "power-on"
        self._line: Line | None = None
        self.receiver = Receiver(self)
        self._failures = 0
        self._timer_handle: asyncio.TimerHandle | None = None
        self._leaving: Callable[[], None] | None = (
            None  # it restarts when the broker has its goodbye
        )
        self._wait: asyncio.TimerHandle | None = None  # until it connects again
        self._outbox: dict[int, tuple[str, bytes, bool]] = {}
        self._commands = Commands(self)
        self._ping = ""
        self._boot()

    # Power and connection

    @property
    def online(self) -> bool:
        """Whether the broker has accepted it."""
        return bool(self._line and self._line.up)

    @property
    def ready(self) -> bool:
        """Whether the broker has granted what it listens to."""
        return bool(self._line and self._line.subscribed)

    def start(self) -> None:
        """Connect."""
        self._wait = None
        world = self._world
        will = json.dumps(self._offline("connection lost")).encode()
        hello = Hello(
            f"mqb-{self._id}",
            world.keepalive,
            mqwire.status_topic(self.prefix),
            will,
            world.username,
            world.password,
        )
        self._line = Line(self, hello)
        world.connect(self._line)

    def stop(self) -> None:
        """Leave the broker, politely."""
        self._drop(lambda line: line.leave())

    def lose_power(self) -> None:
        """Vanish without a word; flash stays, and the power comes back."""
        self.figures.power_cuts += 1
        self._drop(lambda line: line.cut())
        self._reset_cause = "power-on"
        self._boot()
        self._later(self._world.restart_s)

    def go_offline(self) -> None:
        """Have no connection for a while; what is in RAM stays."""
        self.figures.absences += 1
        line, self._line = self._line, None
        if line:
            self._count(line)
            line.cut()
        self._later(self._world.away_s)

    def install(self, image: Image) -> None:
        """Restart into `image`, which is then on trial."""
        self.figures.installed += 1
        again = image.sha256 in self.given and (self.failed or {}).get("image") != image.sha256
        self.figures.again += again
        self.given.add(image.sha256)

        def switch() -> None:
            self._before, self.image = (
                self.image,
                self._world.images.setdefault(image.sha256, image),
            )
            self._slot ^= 1
            self.receiver.slot = list(cut(self._before))  # the other slot now
            self.slot_state = "new"

        self.restart("update", switch)

    def restart(self, reason: str, switch: Callable[[], None] = lambda: None) -> None:
        """Restart, when the broker has all that was said; `switch` makes the difference."""
        goodbye = self._offline(reason) | {"boot_id": self.boot_id, "at": int(time.time())}
        self.publish(mqwire.status_topic(self.prefix), json.dumps(goodbye).encode(), 1, True)

        def end() -> None:
            self._drop(lambda line: line.leave())
            self._leaving = None
            switch()
            self._reset_cause = "reset"
            self._boot()
            self._later(self._world.restart_s)

        self._leaving = end
        self._timer(_GOODBYE_S, end)

    def _boot(self) -> None:
        """Begin a boot: what was in RAM is lost, and an image on trial has one boot to prove
        itself."""
        self.boot_id = secrets.token_hex(4)
        self._booted = self._heard = time.monotonic()
        self.receiver.reset()
        self._outbox.clear()
        self._commands.reset()
        if self.slot_state == "pending":
            self._go_back(wire.POWER_LOST, "power was lost while it was on trial")
        elif self.slot_state == "new":
            self.slot_state = "pending"

    def _go_back(self, code: int, reason: str) -> None:
        self.figures.rolled_back += 1
        tried, self.image = self.image, self._before
        self.failed = {
            "image": tried.sha256,
            "version": tried.version,
            "code": code,
            "reason": reason,
        }
        self._slot ^= 1
        self.receiver.slot = list(cut(tried))
        self.slot_state = "valid"

    def _drop(self, end: Callable[[Line], None]) -> None:
        line, self._line = self._line, None
        self._leaving = None
        self._stop_timer()
        if self._wait:
            self._wait.cancel()
        if line:
            self._count(line)
            end(line)

    def _later(self, seconds: float) -> None:
        self._wait = asyncio.get_running_loop().call_later(seconds, self.start)

    def _count(self, line: Line) -> None:
        figures = self.figures
        figures.messages_in += line.received
        figures.messages_out += line.sent
        figures.bytes_in += line.received_bytes
        figures.bytes_out += line.sent_bytes
        line.received = line.sent = line.received_bytes = line.sent_bytes = 0

    def count(self) -> None:
        """Add what the connection has counted since to the figures."""
        if self._line:
            self._count(self._line)

    # What the line calls.

    def on_up(self) -> None:
        """Subscribe, send again what was not acknowledged, and say that we are there."""
        assert self._line
        self._failures = 0
        self.figures.connections += 1
        self._subscribe(self._line)
        unsent, self._outbox = list(self._outbox.values()), {}
        for topic, payload, retain in unsent:
            self.publish(topic, payload, 1, retain)
        self.announce()
        self._heard = time.monotonic()
        if not self._leaving:
            self._timer(self._world.health_s, self._prove)

    def _subscribe(self, line: Line) -> None:
        line.subscribe(mqwire.command_filter(self.prefix), 1)
        for topic in self.receiver.topics:
            line.subscribe(topic, 1)

    def on_lost(self, why: str) -> None:
        """Connect again."""
        self.figures.lost += 1
        self._again(why)

    def on_failed(self, why: str) -> None:
        """Try again: no connection came about."""
        self.figures.attempts_failed += 1
        self._again(why)

    def _again(self, why: str) -> None:
        """Connect, later and later, and not all boards at once."""
        self.figures.last_trouble = why
        self.count()
        self._line = None
        self._failures += 1
        first, longest = _BACKOFF
        delay = min(first * 2 ** min(self._failures - 1, 10), longest)
        self._later(delay / 2 + random.uniform(0, delay))

    def on_acknowledged(self, ident: int) -> None:
        """Forget what the broker has."""
        self._outbox.pop(ident, None)
        if self._leaving and not self._outbox:
            self._leaving()

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take blocks or a command."""
        if self.receiver.hear(topic, payload, retained):
            return
        parsed = mqwire.parse_command_topic(self.prefix, topic)
        if parsed and not retained and len(payload) >= mqwire.HEADER_SIZE:
            command, ident, tail = parsed
            quiet = self.fault == SILENT and ident != self._ping
            if not quiet and not (self._leaving and command != "update"):
                self._commands.take(command, ident, payload)

    # What it says.

    def announce(self) -> None:
        """Publish the birth."""
        self.publish(mqwire.status_topic(self.prefix), json.dumps(self.facts()).encode(), 1, True)

    def facts(self) -> dict[str, Any]:
        """Return what the birth message says."""
        return {
            "state": mqwire.ONLINE,
            "protocol": self.protocol,
            "board": self.board,
            "mcu": self.mcu,
            "version": self.image.version,
            "commit": "",
            "built": 0,
            "boot_id": self.boot_id,
            "image": self.image.sha256,
            "slot": f"ota_{self._slot}",
            "slot_state": self.slot_state,
            "mode": "normal",
            "reset_cause": self._reset_cause,
            "signing": "required" if self.keys else "none",
            "failed": self.failed,
            "id": self._id,
            "rssi": -40 - int(self._id, 16) % 50,
        }

    def info(self) -> dict[str, Any]:
        return self.facts() | {
            "seq": self.image.seq,
            "oldest": self.image.seq,
            "keys": [key.id for key in self.keys],
            "confirm_s": 300,
            "storage": "ok",
            "heap_free": 120_000,
            "heap_used": 40_000,
            "uptime_s": int(time.monotonic() - self._booted),
            "micropython": "1.28.0",
            "address": "",
            "refused": 0,
            "clock": {"time": int(time.time()), "trusted": True, "source": "ntp"},
        }

    def _offline(self, reason: str) -> dict[str, Any]:
        return {
            "state": mqwire.OFFLINE,
            "reason": reason,
            "board": self.board,
            "version": self.image.version,
            "id": self._id,
        }

    def reply(self, ident: str, seq: int, data: bytes, last: bool, qos: int = 1) -> None:
        """Send one message of a reply."""
        self._commands.reply(ident, seq, data, last, qos)

    def listen(self, topic: str) -> None:
        """Subscribe to blocks."""
        if self._line:
            self._line.subscribe(topic, 1)

    def ignore(self, topic: str) -> None:
        """Unsubscribe from blocks."""
        if self._line:
            self._line.unsubscribe(topic)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Publish; at QoS 1 again with the next connection, until the broker has it."""
        if self._line and self._line.up:
            if ident := self._line.publish(topic, payload, qos, retain):
                self._outbox[ident] = topic, payload, retain
        elif qos:
            self._outbox[-1 - len(self._outbox)] = topic, payload, retain

    # The proof that each boot makes

    def _timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer_handle = asyncio.get_running_loop().call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer_handle:
            self._timer_handle.cancel()
            self._timer_handle = None

    def _prove(self) -> None:
        """Send ourselves a command: when it comes back we can be reached."""
        if self.slot_state == "pending" and self.fault == ROLLBACK:
            self.restart(
                "rollback", lambda: self._go_back(wire.CRASH, "it crashed, as it was told to")
            )
        elif time.monotonic() - self._heard > _MUTE_S:
            self.restart("unreachable")
        elif self.online and self._line:
            if self._ping and self.ready:  # the broker may have lost what we listen to
                self._subscribe(self._line)
            self._ping = secrets.token_hex(4)
            topic = mqwire.command_topic(self.prefix, "ping", self._ping)
            self.publish(topic, mqwire.header(0, True), 1)
            self._timer(_PROOF_S, self._prove)

    def heard(self, ident: str) -> None:
        """Take that the ping `ident` came: with ours this boot is healthy and reachable."""
        if ident != self._ping:
            return
        self._ping, self._heard = "", time.monotonic()
        self._timer(_PROOF_EVERY_S * random.uniform(0.9, 1.1), self._prove)
        if self.slot_state == "pending":
            self.figures.confirmed += 1
            self.slot_state, self.failed = "valid", None
            self.announce()

"""Keeps Home Assistant and boards informed of each other, until it is told to stop.

The broker's messages, and what jobs report, are put into a queue; one thread takes them out,
decides by what it knows, and publishes what has changed. What somebody has asked for is kept at the
broker, in the board's `state`: whoever is responsible next goes on with it.
"""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from paho.mqtt.client import topic_matches_sub

from mqhost.fleet.homeassistant.boards import Boards
from mqhost.fleet.homeassistant.device import Device
from mqhost.fleet.homeassistant.jobs import Answered, Event, Installed, Jobs, Progressed
from mqhost.fleet.homeassistant.owners import BEAT, GREETING, Owners
from mqhost.fleet.homeassistant.publisher import OFFLINE, ONLINE, WHO, Publisher, word
from mqhost.fleet.homeassistant.removal import Described
from mqhost.fleet.homeassistant.topics import COMMANDS, INSTALL, PREFIX, RESTART, Topics
from mqhost.fleet.homeassistant.waiting import Waiting
from mqhost.fleet.presence import Presence
from mqhost.fleet.where import Where
from mqhost.link.connection import Connection, Wide
from mqhost.link.roster import ALL, Roster, parse_status
from mqhost.link.settings import Settings
from mqhost.signing.offer import Offer

EVERY = 300.0  # seconds between two questions for `info`
PARALLEL = 8  # updates at a time
_ASKING = 8  # boards at a time
_TICK = 0.5
_CLAIM_AGAIN = 5.0
_TRIES = 3  # of an update, where a board could not help that it failed
_PAUSE = 30.0  # seconds until the second one, and twice as long until the third
_PATIENCE = 24 * 3600.0  # for a board that is offline
_ENDS = 5.0


class _Pressed(Wide):
    """What must not be lost."""

    qos = 1


class Bridge:
    """Shows the boards at `patterns` for which `where` holds, and updates them to the one of
    `images` that is for their type, on a connection of its own to the broker in `settings`.

    A board stays once it has been shown, whatever it says later, until its status is cleared or
    somebody removes it. `every`: seconds between two questions to a board; `parallel`: updates at a
    time; `url` tells people more of the images; `tool` is our version. `note` is told what happens,
    and `audit` what came of what somebody pressed: the board's prefix, install or restart, and the
    result; both in the thread that goes on.
    """

    def __init__(
        self,
        settings: Settings,
        patterns: Sequence[str] = (ALL,),
        images: Sequence[tuple[Offer, bytes]] = (),
        *,
        where: Where | None = None,
        discovery: str = PREFIX,
        every: float = EVERY,
        parallel: int = PARALLEL,
        url: str = "",
        tool: str = "",
        note: Callable[[str], None] = lambda line: None,
        audit: Callable[[str, str, str], None] = lambda prefix, what, result: None,
        debug: Callable[[str], None] | None = None,
    ) -> None:
        self.topics = Topics(discovery)
        self.name = secrets.token_hex(6)
        self._apps = {offer.sha256: app for offer, app in images}
        self._every, self._parallel = every, parallel
        self._where, self._note, self._audit = where, note, audit
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        will = (self.topics.bridge, word(self.name, OFFLINE))
        self._connection = Connection(settings, debug, will)
        self._publisher = Publisher(self._connection, self.topics, self.name, tool, url)
        self._roster = Roster(
            self._connection, patterns, lambda prefix: self._todo.put(partial(self._look, prefix))
        )
        topics = self.topics
        told = [topics.of("+", "state"), topics.config("+")]
        pressed = [topics.of("+", what) for what in COMMANDS]
        pressed += [topics.birth, topics.bridge, topics.bridges]
        self._subscriptions = (
            Wide("what is shown in Home Assistant", told, partial(self._arrive, told)),
            _Pressed("what Home Assistant asks for", pressed, partial(self._arrive, pressed)),
        )
        self._jobs = Jobs(settings, self._connection, self._report)
        self._waiting = Waiting(self._connection, _PATIENCE)
        self._boards = Boards([offer for offer, _ in images], where)
        self._described = Described(patterns)
        self._owners = Owners(self.name, time.monotonic())
        self._left: dict[str, dict[str, Any]] = {}  # the states that others have published
        self._claimed_at: dict[str, float] = {}
        self._changed: set[str] = set()
        self._thread: threading.Thread | None = None
        self._deaf = False
        self._generation = 0
        self._beat_at = self._tidy_at = 0.0

    def run(self) -> None:
        """Connect, and go on until `stop`. Raises BrokerError if the broker does not let us in,
        UsageError for a fact of `where` that there is not.
        """
        self._connect()
        self._go_on()

    def __enter__(self) -> "Bridge":
        """Connect, and go on in a thread while the `with` block runs; raises as `run`."""
        self._connect()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._thread:
            self._thread.join(_ENDS)

    def stop(self) -> None:
        """Have `run` return soon, from any thread. Updates that are under way are gone on with by
        whoever is responsible next.
        """
        self._stopped.set()
        self._todo.put(lambda: None)

    def _connect(self) -> None:
        self._connection.connect()
        try:
            for subscription in self._subscriptions:
                self._connection.subscribe(subscription)
            self._roster.__enter__()
            seen = self._roster.settle()
            if self._where:
                self._where.check(Presence.of(*item) for item in seen.items())
        except BaseException:
            self._connection.close()
            raise
        self._tidy_at = time.monotonic() + GREETING

    def _go_on(self) -> None:
        try:
            while not self._stopped.is_set():
                self._next()
        finally:
            self._leave()
            self._connection.close()

    # What happens

    def _next(self) -> None:
        """Take what has happened, and do what is to be done then."""
        try:
            self._todo.get(timeout=_TICK)()
            while True:
                self._todo.get_nowait()()
        except queue.Empty:
            pass
        if not self._connection.connected:
            return
        now = time.monotonic()
        if self._generation != self._connection.generation:
            self._generation = self._connection.generation
            self._greet(now)
        if now >= self._beat_at:
            self._beat()
        if self._tidy_at and now >= self._tidy_at:
            self._tidy(now)
        for device in self._boards.devices():
            if self._owners.free(device.ident, now):
                self._claim(device, now)
            elif self._owners.mine(device.ident):
                self._advance(device)
                self._waiting.look(device)
        for ident in self._changed & self._boards.idents():
            device = self._boards.of(ident)
            if self._owners.mine(ident) and not device.deleted:
                self._publisher.show(device)
        self._changed.clear()

    def _arrive(self, filters: list[str], topic: str, payload: bytes, retained: bool) -> None:
        """Take a message that one of `filters` may have asked for, in the network thread."""
        if any(topic_matches_sub(filter_, topic) for filter_ in filters):
            self._todo.put(partial(self._hear, topic, payload, retained))

    def _report(self, event: Event) -> None:
        """Take an event, in any thread."""
        self._todo.put(partial(self._take, event))

    def _look(self, prefix: str) -> None:
        """Take what the board at `prefix` says of itself, or that nobody knows of it any more."""
        found = self._boards.look(prefix, self._roster.sighting(prefix))
        for device in found.gone:
            self._remove(device)
        if found.device:
            self._changed.add(found.device.ident)

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        ident, what = self.topics.parse(topic)
        if what == "state":
            self._hear_state(ident, parse_status(payload) or {})
        elif what in COMMANDS:
            if payload:
                self._press(ident, what, payload, retained)
        elif described := self.topics.described(topic):
            self._hear_description(described, payload, retained)
        elif topic == self.topics.birth and payload == ONLINE.encode() and not retained:
            self._show_all()
        elif topic == self.topics.bridge:
            self._hear_bridge(parse_status(payload) or {}, retained)
        elif topic == self.topics.bridges and not retained:
            if payload == WHO:
                self._beat()
            else:
                self._owners.alive(payload.decode("utf-8", "replace"), time.monotonic())

    def _hear_state(self, ident: str, record: dict[str, Any]) -> None:
        """Take who is responsible for a board."""
        was_ours = self._owners.mine(ident)
        owner = record.get("bridge")
        self._owners.claimed(ident, owner if isinstance(owner, str) else "")
        if owner != self.name:
            self._left[ident] = record
        elif not was_ours and self._boards.has(ident):
            device = self._boards.of(ident)
            device.shown.clear()
            device.ask_at = 0.0
            self._claimed_at.pop(ident, None)
            self._changed.add(ident)

    def _hear_description(self, ident: str, payload: bytes, retained: bool) -> None:
        self._described.hear(ident, parse_status(payload) or {})
        if payload or retained or not self._boards.has(ident):
            return
        device = self._boards.of(ident)
        if not device.deleted:
            device.deleted = True
            self._note(
                f"{device.prefix} was removed in Home Assistant; it is left out from now on."
            )
            self._publisher.clear(ident)

    def _hear_bridge(self, record: dict[str, Any], retained: bool) -> None:
        who = str(record.get("bridge"))
        if record.get("state") == OFFLINE:
            if who != self.name:
                self._owners.gone(who)
            self._publisher.online()
        elif who != self.name and not retained:
            self._owners.alive(who, time.monotonic())

    def _press(self, ident: str, what: str, payload: bytes, retained: bool) -> None:
        """Take that somebody has pressed Install, or Restart."""
        if not self._boards.has(ident) or not self._owners.mine(ident):
            return
        device = self._boards.of(ident)
        if retained or payload != what.encode():
            why = "it is retained, and so an old one" if retained else f"it says {payload!r:.60}"
            self._note(f"{device.prefix}: a message to {what} is ignored: {why}.")
            return
        self._note(f"{device.prefix}: {what}, asked for in Home Assistant.")
        told = device.press_install() if what == INSTALL else device.press_restart()
        if told:
            self._tell(device, what, told)
        self._changed.add(ident)

    # What is done

    def _greet(self, now: float) -> None:
        """Begin on a new connection, at a broker that may have forgotten all."""
        self._owners.begin(now)
        self._claimed_at.clear()
        self._publisher.greet()
        self._waiting.again()

    def _beat(self) -> None:
        self._publisher.beat()
        self._beat_at = time.monotonic() + BEAT

    def _claim(self, device: Device, now: float) -> None:
        """Say that we are responsible from now on, and go on where another one has left off."""
        claimed_at = self._claimed_at.get(device.ident)
        if device.deleted or claimed_at is not None and now < claimed_at + _CLAIM_AGAIN:
            return
        self._claimed_at[device.ident] = now
        if claimed_at is not None and not self._deaf:
            self._deaf = True
            self._note(
                f"What is said below {self.topics.root} is not heard. The broker's rules must let "
                "this user read and write there: docs/homeassistant.md has them."
            )
        device.inherit(self._left.pop(device.ident, {}))
        self._publisher.claim(device)

    def _advance(self, device: Device) -> None:
        """Begin what is to be done with a board that we are responsible for, if anything is."""
        now = time.time()
        if device.busy or device.deleted:
            return
        before = device.result
        job = device.next_job(now, _PATIENCE)
        if device.result != before:
            self._tell(device, INSTALL, device.result)
        under_way = [one.busy for one in self._boards.devices()] if job else []
        if job == "restart":
            self._jobs.restart(device)
        elif job == "install" and under_way.count(job) < self._parallel and device.offer:
            self._jobs.install(device, self._apps[device.offer.sha256])
        elif job == "ask" and under_way.count(job) < _ASKING:
            device.ask_at = now + self._every * (0.9 + 0.2 * secrets.randbelow(1000) / 1000)
            self._jobs.ask(device)
        else:
            return
        device.busy = job

    def _take(self, event: Event) -> None:
        """Take what a job reports."""
        if not self._boards.has(event.ident):
            return
        device = self._boards.of(event.ident)
        self._changed.add(event.ident)
        if isinstance(event, Progressed):
            device.percent = event.percent
            return
        device.busy = ""
        if isinstance(event, Answered):
            if event.info is not None:
                device.take_info(event.info, time.time())
        elif isinstance(event, Installed):
            device.installed(event.outcome, event.text, time.time(), _TRIES, _PAUSE)
            self._tell(device, INSTALL, device.result)
        else:
            device.ask_at = 0.0
            self._tell(device, RESTART, event.text)

    def _tell(self, device: Device, what: str, text: str) -> None:
        """Show what came of what was asked."""
        device.tell(text, time.time())
        self._note(f"{device.prefix}: {text}")
        self._audit(device.prefix, what, text)
        self._changed.add(device.ident)

    def _show_all(self) -> None:
        for device in self._boards.devices():
            device.shown.clear()
            self._changed.add(device.ident)

    # What goes

    def _remove(self, device: Device) -> None:
        """Take a board that is gone for good out of Home Assistant."""
        self._waiting.clear(device)
        self._note(f"{device.prefix} is no more: it is taken out of Home Assistant.")
        if self._owners.mine(device.ident) or self._owners.free(device.ident, time.monotonic()):
            self._publisher.clear(device.ident)

    def _tidy(self, now: float) -> None:
        """Take out what an earlier run has shown, and that went while nobody was there."""
        self._tidy_at = 0.0
        for ident, prefix in self._described.at_patterns():
            sighting = self._roster.sighting(prefix)
            kept = self._boards.has(ident) or self._boards.is_of(ident, prefix, sighting)
            if not kept and self._owners.free(ident, now):
                self._note(f"{prefix} is no more: it is taken out of Home Assistant.")
                self._publisher.clear(ident)
        count = len(self._boards.idents())
        self._note(
            f"{count:,} board{'s' if count != 1 else ''} for Home Assistant, by its discovery "
            f"prefix {self.topics.discovery}. Others are shown when they come. Ctrl-C ends it."
        )

    def _leave(self) -> None:
        """Say goodbye; whoever comes next goes on."""
        self._jobs.stop()
        for device in self._boards.devices():
            if device.busy == "install" and device.offer:
                self._note(
                    f"{device.prefix}: the update to {device.offer.version} is gone on with by the "
                    "next run."
                )
        self._waiting.withdraw()
        self._publisher.goodbye()

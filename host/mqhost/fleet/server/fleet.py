"""Puts the server together: one connection to the broker, one database, and what works on them."""

import os
import secrets
import socket
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from mqhost.fleet.presence import Presence
from mqhost.fleet.rollout.running import broker_name
from mqhost.fleet.server.asking import Asking
from mqhost.fleet.server.changes import BROKER, Changes
from mqhost.fleet.server.door.access import Access
from mqhost.fleet.server.door.attempts import Attempts
from mqhost.fleet.server.door.auth import Doorkeeper
from mqhost.fleet.server.door.users import User, Users
from mqhost.fleet.server.groups import Groups
from mqhost.fleet.server.hearing.ingest import Ingest, number
from mqhost.fleet.server.hearing.live import Live
from mqhost.fleet.server.hearing.sampler import EVERY, RATE, Sampler
from mqhost.fleet.server.working.driving import Driving
from mqhost.fleet.server.working.jobs import Jobs
from mqhost.fleet.store.accounts import Accounts
from mqhost.fleet.store.history import CRASH, History, Sample
from mqhost.fleet.store.records import Entry, StoreError
from mqhost.fleet.store.servers import Servers
from mqhost.fleet.store.store import Store
from mqhost.fleet.store.underway import UnderWay
from mqhost.link.connection import Connection
from mqhost.link.roster import parse_status
from mqhost.link.settings import Settings
from mqhost.signing.offer import Offer

_LOOK = 0.5  # seconds
_LEFT = 20.0  # seconds until it is looked again what servers have left that are no more


@dataclass(frozen=True)
class Options:
    """How the server works. `groups` are those that boards can be chosen by; `at_once` boards are
    changed at a time; each is asked for its facts `every` so many seconds, and at most `rate` of
    them in a second.
    """

    access: Access = Access()
    groups: Groups = field(default_factory=Groups)
    at_once: int = 16
    every: float = EVERY
    rate: float = RATE


class Fleet:
    """Everything that the server has, while the `with` block runs. The broker is the one in
    `settings`; raises BrokerError, StoreError.
    """

    def __init__(self, settings: Settings, store: Store, options: Options | None = None) -> None:
        self.settings = settings
        self.store = store
        self.options = options or Options()
        self.access = self.options.access
        self.groups = self.options.groups
        self.name = f"{socket.gethostname():.40}:{os.getpid()}:{secrets.token_hex(3)}"
        self.changes = Changes()
        self.connection = Connection(settings)
        accounts = Accounts(store.database)
        self.users = Users(accounts)
        self.doorkeeper = Doorkeeper(self.access, self.users)
        self.attempts = Attempts()
        self.live = Live(self.connection, self.changes, heard=self._heard)
        self.asking = Asking(settings, self.connection, self.live, self._told)
        self.broker = broker_name(settings)
        place = f"{socket.gethostname()} {self.access.host}:{self.access.port}"
        under_way = UnderWay(store.database, self.broker, self.name, place)
        self.jobs = Jobs(settings, self.connection, under_way, self.changes, self.options.at_once)
        self.driving = Driving(settings, store, self.changes)
        self.history = History(store.database, self.broker)
        self.servers = Servers(store.database, self.name)
        self.ingest = Ingest(
            settings,
            self.history,
            self.servers.mine,
            self._known,
            self.live.note,
            f"mqboard-{accounts.key('group')[:12]}",
        )
        self.sampler = Sampler(
            self.live,
            self.asking,
            self.servers,
            self.history,
            self.options.every,
            self.options.rate,
        )
        self.ending = False  # nothing is told any more
        self.reconnects = 0  # of all boards, since the beginning
        self.consoles = 0  # prompts that are open
        self._over = threading.Event()
        self._listens = threading.Event()
        self._first = True  # nobody has looked yet who was at this place before
        self._stack = ExitStack()

    @property
    def key(self) -> str:
        """The key that cookies are signed with, the same for all servers on the database."""
        return Accounts(self.store.database).key("cookies")

    def __enter__(self) -> "Fleet":
        with ExitStack() as stack:
            self.connection.connect()
            stack.callback(self.connection.close)
            stack.enter_context(self.live)
            for part in (self.ingest, self.sampler, self.driving):
                stack.enter_context(part)
            threading.Thread(target=self._watch, daemon=True).start()
            stack.callback(self._over.set)
            stack.callback(self.jobs.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begun(self) -> None:
        """Note that this server listens: tell what one has left that was there before."""
        self._listens.set()
        self._take_left()

    def end_streams(self) -> None:
        """Have what tells somebody of changes, for ever, end now, and jobs soon."""
        self.ending = True
        self.jobs.stop()
        self.changes.tell(BROKER)

    def patterns(self, pattern: str | None, group: str | None) -> tuple[str, ...]:
        """Return the patterns that a request means: none are all boards."""
        found = self.groups.patterns(group) if group else ()
        return (*found, *((pattern,) if pattern else ()))

    def note(self, user: User, what: str, prefix: str | None, result: str) -> None:
        """Keep in the audit what somebody did."""
        self.store.note([Entry(time.time(), user.name, what, None, prefix, result)])

    @property
    def bytes_sent(self) -> int:
        """How many bytes all updates took, of jobs and of rollouts."""
        return self.driving.bytes_sent + self.jobs.bytes_sent

    def last_lines(self, prefix: str) -> list[str]:
        """Return the last lines of a board's log that are kept, the oldest first."""
        return [text for _, text in self.history.lines(prefix)]

    def kept_crashes(self, prefix: str) -> list[dict[str, Any]]:
        """Return the crashes of a board that the server has heard of, with the Unix time `at`."""
        found = []
        for at, text in self.history.lines(prefix, CRASH):
            if record := parse_status(text.encode()):
                found.append({"at": at} | record)
        return found

    def image(self, start: str) -> tuple[Offer, bytes]:
        """Return the stored image whose SHA-256 begins so; UsageError if there is none, or more."""
        return self.store.image(self.store.image_named(start))

    def _heard(self, prefix: str, before: Presence | None, now: Presence | None) -> None:
        """Take what a board says, in the network thread: count who has come back."""
        if before is None or now is None or not now.online:
            return
        restarted = before.status.get("boot_id") != now.status.get("boot_id")
        if before.online and not restarted:
            return
        self.reconnects += 1
        if self.servers.mine(prefix):
            self.ingest.sample(Sample(prefix, time.time(), reconnects=1))

    def _told(self, prefix: str, said: dict[str, Any]) -> None:
        """Put into the history what a board has answered, whoever asked."""
        heap, rssi = number(said.get("heap_free")), number(said.get("rssi"))
        self.ingest.sample(Sample(prefix, time.time(), heap, rssi))

    def _known(self, prefix: str) -> bool:
        return self.live.get(prefix) is not None

    def _watch(self) -> None:
        """Tell when the broker is lost, and when it is back; and what other servers have left."""
        connected = True
        look_at = time.monotonic() + _LEFT
        while not self._over.wait(_LOOK):
            if self._listens.is_set() and time.monotonic() >= look_at:
                look_at = time.monotonic() + _LEFT
                self._take_left()
            if self.connection.connected != connected:
                connected = not connected
                self.changes.tell(BROKER)

    def _take_left(self) -> None:
        with suppress(StoreError):  # it is tried again
            self.jobs.take_left(here=self._first)
            self._first = False

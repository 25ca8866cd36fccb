"""Puts the server together: one connection to the broker, one database, and what works on them."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from mqhost.errors import UsageError
from mqhost.fleet.presence import Presence
from mqhost.fleet.rollout.running import broker_name
from mqhost.fleet.server.access import Access
from mqhost.fleet.server.asking import Asking
from mqhost.fleet.server.attempts import Attempts
from mqhost.fleet.server.auth import Doorkeeper
from mqhost.fleet.server.changes import Changes
from mqhost.fleet.server.driving import Driving
from mqhost.fleet.server.jobs import Jobs
from mqhost.fleet.server.live import Live
from mqhost.fleet.server.users import User, Users
from mqhost.fleet.store.accounts import Accounts
from mqhost.fleet.store.records import Entry
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqhost.signing.offer import Offer

Groups = Callable[[str], tuple[str, ...]]


def no_groups(name: str) -> tuple[str, ...]:
    """Say that there is no group."""
    raise UsageError(f"There is no group {name!r:.60}.")


@dataclass(frozen=True)
class Options:
    """How the server works. `groups` gives the patterns of a group by its name."""

    access: Access = Access()
    groups: Groups = no_groups
    at_once: int = 16


class Fleet:
    """Everything that the server has, while the `with` block runs. The broker is the one in
    `settings`; raises BrokerError, StoreError.
    """

    def __init__(self, settings: Settings, store: Store, options: Options | None = None) -> None:
        self.settings = settings
        self.store = store
        self.options = options or Options()
        self.access = self.options.access
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.changes = Changes()
        self.connection = Connection(settings)
        self.users = Users(Accounts(store.database))
        self.doorkeeper = Doorkeeper(self.access, self.users)
        self.attempts = Attempts()
        self.live = Live(self.connection, self.changes, heard=self._heard)
        self.asking = Asking(settings, self.connection, self.live)
        self.jobs = Jobs(settings, self.connection, store, self.changes, self.options.at_once)
        self.broker = broker_name(settings)
        self.driving = Driving(settings, store, self.changes)
        self.consoles = 0  # prompts that are open
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
            stack.enter_context(self.driving)
            stack.callback(self.jobs.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def patterns(self, pattern: str | None, group: str | None) -> tuple[str, ...]:
        """Return the patterns that a request means: none are all boards."""
        found = self.options.groups(group) if group else ()
        return (*found, *((pattern,) if pattern else ()))

    def note(self, user: User, what: str, prefix: str | None, result: str) -> None:
        """Keep in the audit what somebody did."""
        self.store.note([Entry(time.time(), user.name, what, None, prefix, result)])

    def last_lines(self, prefix: str) -> list[str]:
        """Return the last lines of a board's log that are kept, the oldest first."""
        return []

    def image(self, start: str) -> tuple[Offer, bytes]:
        """Return the stored image whose SHA-256 begins so; UsageError if there is none, or more."""
        return self.store.image(self.store.image_named(start))

    def _heard(self, prefix: str, before: Presence | None, now: Presence | None) -> None:
        """Take what a board says, in the network thread."""

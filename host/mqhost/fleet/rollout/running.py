"""Puts together what drives a rollout: a connection of its own, what is seen over it, pushes, notes
for sleepers, and the driver; for the command line and for the page alike.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import tzinfo
from typing import TYPE_CHECKING

from mqhost.errors import UsageError
from mqhost.fleet.cast.pusher import Cast
from mqhost.fleet.rollout.control import broker_name, driver_name
from mqhost.fleet.rollout.drive import TTL, Driver, Pusher, drive
from mqhost.fleet.rollout.field import BoardField, Report
from mqhost.fleet.rollout.notes import Notes
from mqhost.fleet.rollout.states import NOT_BEGUN
from mqhost.fleet.store.records import StoreError
from mqhost.link.connection import Connection
from mqhost.link.roster import FEW, depths_of
from mqhost.link.settings import Settings

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store

MakePusher = Callable[[Settings, Connection, Report], Pusher]


def drive_rollout(
    store: "Store",
    number: int,
    settings: Settings,
    *,
    stop: threading.Event | None = None,
    news: threading.Event | None = None,
    after: Callable[[Driver], object] = lambda driver: None,
    report: Report = lambda prefix, stage, done, total: None,
    trouble: Callable[[StoreError], None] = lambda error: None,
    make_pusher: MakePusher = Cast,
    any_broker: bool = False,
    owner: str | None = None,
    ttl: float = TTL,
    zone: tzinfo | None = None,
    debug: Callable[[str], None] | None = None,
) -> Driver:
    """Drive rollout `number` over a connection of its own until it is over, or `stop` is set (and
    `news`, to be quick about it); return its driver. While another process drives, wait for it.

    `after` is called after each step that went well, `report` from the threads that push, `trouble`
    when the database cannot be used. UsageError if its boards are at another broker than that of
    `settings`, unless `any_broker` says that it is the same by another name; BrokerError if that
    cannot be reached at the beginning.
    """
    rollout = store.rollout(number)
    if rollout.broker != broker_name(settings) and not any_broker:
        raise UsageError(
            f"The boards of rollout {number} are at the broker {rollout.broker}, and this is "
            f"{broker_name(settings)}, where they would be waited for in vain. If it is the same "
            "one by another name, add --same-broker."
        )
    news = news or threading.Event()
    prefixes = _prefixes(store, number)
    patterns = prefixes if len(prefixes) <= FEW else depths_of(prefixes)
    connection = Connection(settings, debug)
    connection.connect()
    with (
        contextlib.closing(connection),
        Notes(connection, zone) as notes,
        BoardField(connection, patterns, news.set, prefixes) as field,
    ):
        notes.sweep(store, time.time())
        driver = Driver(
            store,
            number,
            field,
            make_pusher(settings, connection, report),
            owner or driver_name(),
            zone=zone,
            ttl=ttl,
            news=news,
            notes=notes,
        )
        drive(driver, stop, trouble, after)
    return driver


def _prefixes(store: "Store", number: int) -> list[str]:
    """Return whom we have to know of: the boards of the rollout."""
    _, boards = store.read(number)
    return [board.prefix for board in boards if board.wave != NOT_BEGUN]

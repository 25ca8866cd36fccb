"""Tests the note "an update is waiting": at whom it is, when it goes, and what a killed driver left
of it, over a real broker to boards that speak the wire protocol.
"""

import contextlib
import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fakeboard import FakeBoard
from pushing import offer_for
from rolloutparts import options
from waiting import wait_until

from mqhost.errors import BrokerError
from mqhost.fleet.many import call_roll
from mqhost.fleet.rollout import control
from mqhost.fleet.rollout.notes import Notes, signature, wanted
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.running import drive_rollout
from mqhost.fleet.rollout.states import (
    ABSENT,
    DONE,
    FINISHED,
    PAUSED,
    SENDING,
    SETTLING,
    STATES,
    WAITING,
    Board,
    Rollout,
    Seen,
)
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection
from mqwire import waiting

APP = bytes(range(256)) * 40
NOW = 1_800_000_000.0
RUNNING = Rollout(3, "b", Options.parse(), wave=0, created_at=NOW)
ONLINE = Seen(True, "old", True, True, "1", "1", 0.0)


def of(state, rollout=RUNNING, online=False, noted=False, wave=0):
    """Return whether there is to be a note at a board in `state`."""
    board = Board("a", "sim", "new", wave, 0, state=state)
    seen = {"a": replace(ONLINE, online=online)}
    return list(wanted(rollout, [board], seen, lambda prefix: noted, NOW)) == [board]


def test_it_is_at_boards_that_are_absent_and_stays_until_they_have_ended():
    assert [state for state in STATES if of(state)] == [ABSENT, SETTLING]
    staying = [state for state in STATES if of(state, online=True, noted=True)]
    assert staying == [WAITING, ABSENT, SENDING, SETTLING]
    assert [state for state in STATES if of(state, online=True)] == [ABSENT]


def test_it_is_not_there_before_the_turn_nor_while_nothing_may_be_sent():
    assert not of(ABSENT, wave=1)
    paused = replace(RUNNING, state=PAUSED)
    shut = replace(RUNNING, options=Options.parse(window="00:00-00:01"))
    shut_now = replace(shut, options=replace(shut.options, window=_other_window()))
    for closed in (paused, shut_now):
        assert not of(ABSENT, closed) and not of(WAITING, closed, noted=True)
        assert of(SENDING, closed, noted=True) and of(SETTLING, closed)


def _other_window():
    hour = (time.localtime(NOW).tm_hour + 2) % 24
    return Options.parse(window=f"{hour:02}:00-{hour:02}:30").window


# Over a broker


@pytest.fixture
def farm(broker, prefix):
    with ExitStack() as stack:
        yield [stack.enter_context(FakeBoard(broker.port, f"{prefix}/{name}")) for name in "abc"]


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path / "fleet.db")) as opened:
        yield opened


@pytest.fixture
def connection(settings):
    connection = Connection(settings)
    connection.connect()
    with contextlib.closing(connection):
        yield connection


@pytest.fixture
def note_at(connection):
    """Give note_at(prefix) -> the note that the broker has there, None for none."""
    with Notes(connection) as watching:
        yield watching.at


@pytest.fixture
def number(store, connection, farm, prefix):
    wish = options(canary="0")
    offer = offer_for(APP)
    plan = make_plan(call_roll(connection, [f"{prefix}/+"]).values(), [offer], wish)
    farm[2].power_off()
    broker = control.broker_name(connection.settings)
    return control.start(store, plan, [(offer, APP)], wish, broker=broker, who="anna")


class Driving(threading.Thread):
    """A rollout that is driven in a thread, while the `with` block runs."""

    def __init__(self, store, number, settings):
        super().__init__(daemon=True)
        self.stop, self.news = threading.Event(), threading.Event()
        self._arguments = (store, number, settings)

    def run(self):
        drive_rollout(*self._arguments, stop=self.stop, news=self.news)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.news.set()
        self.join(60)


def test_a_board_that_sleeps_has_it_until_it_is_done(farm, store, number, settings, note_at):
    sleeper = farm[2]
    with Driving(store, number, settings) as driving:
        note = wait_until(lambda: note_at(sleeper.prefix), 60)
        rollout = store.rollout(number)
        assert note["image"] == offer_for(APP).sha256 and note["version"] == "0.2.0"
        assert note["size"] == len(APP) and note["by"] == signature(rollout)
        assert 6 * 86400 < note["until"] - time.time() <= 7 * 86400
        assert len(json.dumps(note)) < waiting.MAX_NOTE
        sleeper.power_on()
        wait_until(lambda: store.rollout(number).state == FINISHED, 60)
        driving.join(60)
        wait_until(lambda: not note_at(sleeper.prefix))
    assert [board.state for board in store.read(number)[1]] == [DONE] * 3
    assert sleeper.image == APP and sleeper.boots == 3
    assert not any(note_at(board.prefix) for board in farm)


def test_nobody_stays_awake_for_what_nobody_drives_or_is_aborted(
    farm, store, number, settings, note_at
):
    sleeper = farm[2].prefix
    with Driving(store, number, settings):
        wait_until(lambda: note_at(sleeper), 60)
    wait_until(lambda: not note_at(sleeper))
    with Driving(store, number, settings) as driving:
        wait_until(lambda: note_at(sleeper), 60)
        control.pause(store, number, "ben")
        wait_until(lambda: not note_at(sleeper))
        control.resume(store, number, "ben")
        wait_until(lambda: note_at(sleeper))
        control.abort(store, number, "ben")
        wait_until(lambda: not note_at(sleeper))
        driving.join(60)
        assert not driving.is_alive()


def test_what_a_killed_driver_left_is_taken_away(
    store, number, settings, connection, note_at, farm
):
    ended, running = farm[0].prefix, farm[1].prefix
    rollout = store.rollout(number)
    for prefix, by in ((ended, signature(rollout)), (running, "rollout 1 of 5")):
        note = {"until": int(time.time()) + 3600, "by": by}
        connection.publish(waiting.topic(prefix), json.dumps(note).encode(), retain=True)
    lapsed = {"until": 5, "by": "rollout 1 of 5"}
    connection.publish(waiting.topic("test/gone"), json.dumps(lapsed).encode(), retain=True)
    wait_until(lambda: all(map(note_at, (ended, running, "test/gone"))))
    with Driving(store, number, settings):
        wait_until(lambda: not note_at(ended) and not note_at("test/gone"), 60)
        assert note_at(running)  # of somebody else's database, and not lapsed
    control.abort(store, number, "ben")
    note = {"until": int(time.time()) + 3600, "by": signature(rollout)}
    connection.publish(waiting.topic(ended), json.dumps(note).encode(), retain=True)
    with Notes(connection) as notes:
        wait_until(lambda: notes.at(ended))
        notes.sweep(store, time.time())
    wait_until(lambda: not note_at(ended))


def test_a_broker_that_keeps_us_from_notes_keeps_us_from_nothing_else(
    store, number, settings, monkeypatch, farm
):
    subscribe = Connection.subscribe

    def refuse(connection, subscription):
        if str(subscription) == "the notes for boards":
            raise BrokerError("The broker does not let us listen.")
        subscribe(connection, subscription)

    monkeypatch.setattr(Connection, "subscribe", refuse)
    with Driving(store, number, settings):
        farm[2].power_on()
        wait_until(lambda: store.rollout(number).state == FINISHED, 60)


@pytest.fixture(autouse=True)
def clean(connection, farm):
    yield
    for board in farm:
        connection.publish(waiting.topic(board.prefix), b"", retain=True).wait_for_publish(10)

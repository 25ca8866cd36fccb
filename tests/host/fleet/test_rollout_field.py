"""Tests a rollout over a real broker to boards that speak the wire protocol, pushes in threads."""

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fakeboard import FakeBoard
from pushing import offer_for
from rolloutparts import options
from waiting import wait_until

from mqhost.fleet.many import call_roll
from mqhost.fleet.rollout.drive import Driver, drive
from mqhost.fleet.rollout.field import BoardField, PushThreads
from mqhost.fleet.rollout.outcome import Outcome
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import DONE, FAILED, FINISHED, SENDING, Board
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqwire import update as wire

APP = bytes(range(256)) * 40


@pytest.fixture
def connection(broker, prefix):
    settings = Settings(server=broker.host, port=broker.port, prefix=f"{prefix}/x", timeout=5)
    connection = Connection(settings)
    connection.connect()
    yield connection
    connection.close()


@pytest.fixture
def farm(broker, prefix):
    with ExitStack() as stack:
        yield [stack.enter_context(FakeBoard(broker.port, f"{prefix}/{name}")) for name in "abcd"]


@pytest.fixture
def pattern(prefix):
    return f"{prefix}/+"


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path / "fleet.db")) as opened:
        yield opened


def roll_out(store, connection, pattern, **wish):
    wish = options(**wish)
    offer = offer_for(APP)
    plan = make_plan(call_roll(connection, [pattern]).values(), [offer], wish)
    return store.create(plan, [(offer, APP)], wish, broker="b", who="anna")


class Driving:
    """A driver in a thread, while the `with` block runs."""

    def __init__(self, store, number, connection, pattern, pusher=None):
        self.news, self.stop = threading.Event(), threading.Event()
        self.field = BoardField(connection, [pattern], self.news.set)
        pusher = pusher or PushThreads(connection.settings, connection)
        self.driver = Driver(store, number, self.field, pusher, "x", news=self.news)
        self.thread = threading.Thread(target=drive, args=(self.driver, self.stop))

    def __enter__(self):
        self.field.__enter__()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.news.set()
        self.thread.join(60)
        self.field.__exit__()


def states(store, number):
    return [board.state for board in store.read(number)[1]]


def test_boards_run_the_image_and_who_refuses_or_sleeps_is_told_apart(
    farm, store, connection, pattern
):
    number = roll_out(store, connection, pattern, max_failed="1", canary="1", parallel="2")
    order = [board.prefix for board in store.read(number)[1]]
    canary, refuser, other, sleeper = sorted(farm, key=lambda one: order.index(one.prefix))
    refuser.refuse = wire.TOO_LARGE
    sleeper.power_off()
    with Driving(store, number, connection, pattern) as driving:
        ended = [DONE, FAILED, DONE]
        wait_until(lambda: states(store, number)[:3] == ended, 60, lambda: str(store.read(number)))
        assert store.rollout(number).state != FINISHED
        sleeper.power_on()
        wait_until(lambda: store.rollout(number).state == FINISHED, 60)
        driving.thread.join(60)
        assert driving.driver.over and store.driver(number) is None
    assert states(store, number) == [*ended, DONE]
    assert {one.image for one in (canary, other, sleeper)} == {APP}
    assert refuser.image == b"old image"
    reasons = [board.reason for board in store.read(number)[1]]
    assert "does not fit the board's slot" in reasons[1] and not reasons[0]


def test_a_push_that_nobody_wants_any_more_ends_without_a_word(farm, connection, prefix):
    begun, gone, ended = threading.Event(), threading.Event(), []

    def report(name, stage, done, total):
        begun.set()
        assert gone.wait(30)

    pusher = PushThreads(connection.settings, connection, report)
    before = set(threading.enumerate())
    pusher.start(Board(f"{prefix}/a", "sim", "", 0, 0), offer_for(APP), APP, ended.append)
    (thread,) = set(threading.enumerate()) - before
    assert begun.wait(30)
    pusher.stop()
    gone.set()
    thread.join(30)
    assert not thread.is_alive() and not ended


def test_the_next_push_to_a_board_waits_for_the_one_that_was_stopped(
    connection, prefix, monkeypatch
):
    begun, stopped, second, ended = (threading.Event() for _ in range(4))
    waited = []

    def push(session, offer, app, retry_failed, progress):
        if retry_failed:
            second.set()
            return
        begun.set()
        stopped.wait(30)
        waited.append(not second.wait(0.3))
        progress("send", 0, 1)

    monkeypatch.setattr("mqhost.fleet.rollout.field.push", push)
    pusher = PushThreads(connection.settings, connection)
    row = Board(f"{prefix}/a", "sim", "", 0, 0)
    pusher.start(row, offer_for(APP), APP, lambda outcome: None)
    assert begun.wait(30)
    pusher.stop()
    pusher.start(replace(row, again=True), offer_for(APP), APP, lambda outcome: ended.set())
    stopped.set()
    assert ended.wait(30) and waited == [True]


def test_a_fault_of_ours_is_the_boards_reason(connection, prefix, farm):
    def report(*_):
        raise ZeroDivisionError("oh")

    ended, done = [], threading.Event()
    pusher = PushThreads(connection.settings, connection, report)

    def end(outcome):
        ended.append(outcome)
        done.set()

    pusher.start(Board(f"{prefix}/a", "sim", "", 0, 0), offer_for(APP), APP, end)
    assert done.wait(30)
    assert ended == [Outcome(reason="a fault of mqboard itself: ZeroDivisionError('oh')")]


def test_a_driver_that_is_stopped_gives_its_lease_back(farm, store, connection, pattern):
    farm[0].silent = {"info"}
    number = roll_out(store, connection, pattern, canary="0", parallel="1")
    pusher = PushThreads(connection.settings, connection)
    with Driving(store, number, connection, pattern, pusher):
        wait_until(lambda: SENDING in states(store, number), 60)
        assert store.driver(number) == "x"
    assert store.driver(number) is None
    with Driving(store, number, connection, pattern, pusher):
        farm[0].silent = set()
        wait_until(lambda: store.rollout(number).state == FINISHED, 120)
    assert set(states(store, number)) == {DONE}

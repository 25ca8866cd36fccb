"""Tests what becomes of jobs when their server ends: they are told as interrupted, once."""

import signal
import time

import httpx
import pytest
from fakeboard import FakeBoard
from test_server_line import Serving
from waiting import wait_until

from mqhost.fleet.store.database import Database
from mqhost.fleet.store.servers import ALIVE, Servers
from mqhost.fleet.store.store import Store
from mqhost.fleet.store.underway import Begun, UnderWay

JOB = Begun("1-a", "farm/pump", "anna", "update to 2.0", 1000.0)


class Clock:
    now = 5000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(place, clock):
    opened = Database(place, clock)
    yield opened
    opened.close()


def test_what_a_server_leaves_is_told_by_one_that_takes_its_place(database):
    UnderWay(database, "b", "one", "host:1").begin(JOB)
    Servers(database, "one").sign()
    second = UnderWay(database, "b", "two", "host:1")
    assert not second.take_left("gone")
    assert second.take_left("gone", here=True) == [JOB]
    assert not second.take_left("gone", here=True)


def test_what_a_server_elsewhere_leaves_is_told_when_it_is_not_heard_of_any_more(database, clock):
    first, second = (UnderWay(database, "b", name, f"{name}:1") for name in ("one", "two"))
    first.begin(JOB)
    Servers(database, "one").sign()
    clock.now += ALIVE - 1
    assert not second.take_left("gone", here=True)
    clock.now += 2
    assert not UnderWay(database, "another broker", "three", "").take_left("gone")
    assert not first.take_left("gone", here=True)  # its own
    assert second.take_left("gone") == [JOB]


def test_what_has_ended_is_not_told_again(database):
    first = UnderWay(database, "b", "one", "p")
    first.begin(JOB)
    first.end(JOB, 1001.0, "done")
    assert not UnderWay(database, "b", "two", "p").take_left("gone", here=True)


def test_the_audit_has_all_of_it(place, clock):
    with Store(place, clock) as store:
        first = UnderWay(store.database, "b", "one", "p")
        first.begin(JOB)
        UnderWay(store.database, "b", "two", "p").take_left("interrupted: so", here=True)
        entries = [(one.at, one.who, one.what, one.result) for one in store.entries()]
    words = ("anna", "update to 2.0")
    assert entries == [(1000.0, *words, "begun"), (5000.0, *words, "interrupted: so")]


def begun(serving, prefix):
    """Begin a job that ends never; return its id."""

    def known():
        asked = httpx.get(f"{serving.url}/api/board", params={"prefix": prefix})
        return asked.status_code == 200

    wait_until(known, 20)
    body = {"code": "1", "timeout": 3000, "wait": False}
    told = httpx.post(f"{serving.url}/api/board/eval", params={"prefix": prefix}, json=body).json()
    address = f"{serving.url}/api/jobs/{told['id']}"
    wait_until(lambda: httpx.get(address).json()["state"] == "running", 20)
    return told["id"]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "number, sentence", [(signal.SIGKILL, "ended in the middle"), (signal.SIGTERM, "told to end")]
)
def test_a_job_does_not_vanish_with_its_server(broker, place, prefix, number, sentence):
    with FakeBoard(broker.port, prefix) as board:
        board.silent |= {"exec", "eval"}
        with Serving(broker, place) as serving:
            ident = begun(serving.wait(), prefix)
            seconds = time.monotonic()
            serving.end(number)
            assert time.monotonic() - seconds < 15
        with Serving(broker, place, port=serving.port) as again:
            again.wait()

            def results():
                told = httpx.get(f"{again.url}/api/audit", params={"prefix": prefix}).json()
                return [one["result"] for one in told]

            wait_until(lambda: len(results()) == 2, 20)
            assert results()[0].startswith("interrupted: The server")
            assert sentence in results()[0] and "do the same again" in results()[0]
            if number == signal.SIGKILL:
                job = httpx.get(f"{again.url}/api/jobs/{ident}").json()
                assert job["state"] == "interrupted" and sentence in job["text"]

"""Tests several servers on one database, and servers whose broker or database goes away."""

from contextlib import ExitStack, closing

import pytest
from fakeboard import FakeBoard
from pushing import offer_for
from serving import Served
from waiting import wait_until

from mqhost.sim.broker import Broker

APP = bytes(range(256)) * 40
OFFER = offer_for(APP)
PASSWORD = "a long password"


@pytest.fixture
def farm(broker, prefix):
    with ExitStack() as stack:
        yield [stack.enter_context(FakeBoard(broker.port, f"{prefix}/{name}")) for name in "abc"]


def begin(served, prefix):
    options = {"settle": "0s", "canary": "0", "wave": "100%", "max_failed": "0"}
    wish = {"images": [OFFER.sha256], "pattern": f"{prefix}/+", "options": options}
    answer = served.http.post("/api/rollouts", json=wish)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def rollout(served, number):
    return served.http.get(f"/api/rollouts/{number}").json()


def test_a_rollout_goes_on_when_the_server_that_drives_it_ends(broker, farm, prefix, place):
    with ExitStack() as one, ExitStack() as two:
        ends = {stack.enter_context(Served(broker, place)): stack for stack in (one, two)}
        first = next(iter(ends))
        first.store.add_image(OFFER, APP)
        for board in farm:
            board.on_block = lambda number, payload: []  # all are lost
            first.board(board.prefix)
        number = begin(first, prefix)

        def drivers():
            return [served for served in ends if served.fleet.driving.drives(number)]

        # Whichever was faster.
        (driver,) = wait_until(drivers)
        (other,) = ends.keys() - {driver}
        for served in ends:
            wait_until(lambda served=served: rollout(served, number)["counts"].get("sending") == 3)
        assert drivers() == [driver]
        wait_until(lambda: len(other.fleet.servers.alive) == 2)
        ends[driver].close()
        for board in farm:
            board.on_block = None
        wait_until(lambda: rollout(other, number)["state"] == "finished", 60)
        assert rollout(other, number)["counts"] == {"done": 3}
        assert all(board.image == APP for board in farm)


def test_a_session_is_good_at_each_and_ends_at_each(broker, tmp_path):
    place = tmp_path / "fleet.db"
    with Served(broker, place) as first, Served(broker, place) as other:
        first.fleet.users.add("anna", "look", PASSWORD)
        cookies = dict(first.login("anna", PASSWORD).cookies)
        client = other.client(cookies=cookies)
        assert client.get("/api/me").json()["name"] == "anna"
        first.fleet.users.remove("anna")
        first.fleet.users.add("bert", "look", PASSWORD)
        assert client.get("/api/me").status_code == 401


def test_streams_end_when_their_user_is_removed(broker, tmp_path, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.server.api.streams._LOOK", 0.1)
    with Served(broker, tmp_path / "fleet.db") as served:
        for name in ("anna", "bert"):
            served.fleet.users.add(name, "look", PASSWORD)
        client = served.login("anna", PASSWORD)
        with closing(client), client.stream("GET", "/api/events") as told:
            lines = told.iter_lines()
            next(lines)
            served.fleet.users.remove("anna")
            assert "anna" not in "".join(lines)  # which ends


def test_a_broker_that_restarts_is_told_and_found_again(tmp_path, prefix):
    with (
        Broker() as broker,
        Served(broker, tmp_path / "fleet.db") as served,
        FakeBoard(broker.port, prefix) as board,
    ):
        served.board(board.prefix)
        with served.client() as client, client.stream("GET", "/api/events") as told:
            lines = told.iter_lines()
            assert next(lines) == "event: broker" and "true" in next(lines)
            broker.stop()
            for line in lines:
                if line.startswith("data: ") and "false" in line:
                    break
        assert served.http.get("/healthz").status_code == 503
        broker.start()
        wait_until(lambda: served.http.get("/healthz").status_code == 200, 30)
        wait_until(lambda: served.fleet.ingest.listening, 30)

        def answers():
            asked = {"prefix": prefix}
            return served.http.get("/api/board/info", params=asked).status_code == 200

        wait_until(answers, 30)


def test_a_database_that_is_away_is_told_and_nothing_is_begun(broker, prefix, postgres):
    place = postgres.database("away")
    with FakeBoard(broker.port, prefix) as board, Served(broker, place) as served:
        served.board(prefix)
        postgres.stop()
        try:
            for _ in range(2):
                answer = served.http.get("/api/boards")
                assert answer.status_code == 503 and "a secret" not in answer.text
            code = {"code": "1"}
            answer = served.http.post("/api/board/eval", params={"prefix": prefix}, json=code)
            assert answer.status_code == 503 and not board.evaluations
        finally:
            postgres.start()
        wait_until(lambda: served.http.get("/api/boards").status_code == 200, 30)
        answer = served.http.post("/api/board/eval", params={"prefix": prefix}, json=code)
        assert answer.json()["state"] == "done"

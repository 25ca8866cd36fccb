"""Tests what a server keeps of boards, its figures and its audit: asked, heard, and shared."""

import json
import threading
from collections import Counter

import pytest
from fakeboard import FakeBoard
from paho.mqtt import publish
from paho.mqtt.enums import MQTTProtocolVersion
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from serving import Served
from waiting import wait_until

import mqwire
from mqhost.errors import BrokerError
from mqhost.fleet.server.hearing.ingest import Ingest
from mqhost.fleet.server.hearing.metrics import _few
from mqhost.fleet.store.database import Database
from mqhost.fleet.store.history import CRASH, History
from mqhost.fleet.store.records import StoreError
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqhost.sim.broker import Broker

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def one(broker, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mqhost.fleet.server.hearing.ingest._FLUSH", 0.05)
        with Served(broker, tmp_path_factory.mktemp("state") / "fleet.db") as running:
            wait_until(lambda: running.fleet.ingest.listening)
            yield running


@pytest.fixture
def served(one, board):
    one.without_users()
    one.board(board.prefix)
    return one


def say(broker, topic, text):
    publish.single(topic, text, qos=1, hostname=broker.host, port=broker.port)


def lines_of(served, prefix, kind="log"):
    return [text for _, text in served.fleet.history.lines(prefix, kind)]


def points(served, prefix, what, **more):
    asked = {"prefix": prefix, "what": what} | more
    return served.http.get("/api/history", params=asked).json()["points"]


def test_the_log_is_kept_while_nobody_looks(served, board, broker):
    assert served.fleet.ingest.shared
    for number in range(3):
        say(broker, mqwire.log_topic(board.prefix), f"line {number}")
    say(broker, mqwire.log_topic("nobody/known"), "of nobody")
    wait_until(lambda: len(lines_of(served, board.prefix)) == 3)
    with served.http.stream("GET", "/api/board/log", params={"prefix": board.prefix}) as stream:
        told = next(line for line in stream.iter_lines() if line.startswith("data: "))
    assert json.loads(told[6:])["lines"] == ["line 0", "line 1", "line 2"]
    assert lines_of(served, "nobody/known") == []


def test_crashes_are_kept_and_told_of_a_board_that_is_away(served, board, broker):
    before = served.fleet.ingest.crashes
    record = {"number": 1, "kind": "watchdog", "traceback": "x" * 5000}
    say(broker, mqwire.crash_topic(board.prefix), json.dumps(record))
    wait_until(lambda: lines_of(served, board.prefix, CRASH))
    assert served.fleet.ingest.crashes == before + 1
    board.power_off()
    wait_until(lambda: not served.fleet.live.get(board.prefix).online)
    asked = {"prefix": board.prefix, "kept": True}
    (told,) = served.http.get("/api/board/crashes", params=asked).json()
    assert {key: told[key] for key in record} == record and told["at"] > 1.6e9


def test_what_a_board_says_by_itself_is_in_its_history(served, board, broker):
    say(broker, board.prefix + "/sysinfo", json.dumps({"heap_free": 81_000, "rssi": -61}))
    wait_until(lambda: points(served, board.prefix, "heap"))
    assert points(served, board.prefix, "heap")[0][1] == 81_000
    assert points(served, board.prefix, "rssi", hours=72)[0][1] == -61
    record = served.http.get("/api/board", params={"prefix": board.prefix}).json()
    assert record["facts"]["heap_free"] == 81_000


@pytest.mark.parametrize("text", ["no json", "[]", '{"heap_free": "x", "rssi": 1e400}', "[" * 9999])
def test_nonsense_is_no_history(served, board, broker, text):
    say(broker, board.prefix + "/sysinfo", text)
    say(broker, board.prefix + "/sysinfo", json.dumps({"heap_free": 7}))
    wait_until(lambda: points(served, board.prefix, "heap"))
    assert points(served, board.prefix, "heap")[0][1] == 7


def test_who_comes_back_is_counted(served, board):
    before = served.fleet.reconnects
    for _ in range(2):
        board.power_off()
        wait_until(lambda: not served.fleet.live.get(board.prefix).online)
        board.power_on()
        wait_until(lambda: served.fleet.live.get(board.prefix).online)
    assert served.fleet.reconnects == before + 2
    wait_until(lambda: points(served, board.prefix, "reconnects"))
    wait_until(lambda: sum(value for _, value in points(served, board.prefix, "reconnects")) == 2)


@pytest.fixture
def own_broker():
    with Broker() as running:
        yield running


def test_boards_are_asked_at_a_bounded_rate(own_broker, prefix, tmp_path):
    broker = own_broker  # where nobody else is to be asked, and waited for
    boards = [FakeBoard(broker.port, f"{prefix}/{number}") for number in range(3)]
    for board in boards:
        board.facts |= {"heap_free": 50_000, "rssi": -50}
        board.__enter__()
    boards[2].silent.add("info")
    try:
        with Served(broker, tmp_path / "fleet.db", rate=20, every=3600) as served:
            for board in boards:
                served.board(board.prefix)
            for board in boards[:2]:
                wait_until(lambda board=board: points(served, board.prefix, "heap"))
            assert points(served, boards[0].prefix, "rssi")[0][1] == -50
            asked = [one for one in boards[0].requests if one[0] == "info"]
            assert len(asked) == 1
    finally:
        for board in boards:
            board.__exit__()


# Several servers


class Taking:
    """An ingest with a database of its own: what it was dealt can be told."""

    def __init__(self, broker, place, group, mine=lambda prefix: True):
        self.database = Database(str(place))
        self.history = History(self.database, "b")
        self.lines = []
        settings = Settings(server=broker.host, port=broker.port, timeout=10)
        self.ingest = Ingest(settings, self, mine, lambda _: True, lambda *_: None, group)

    def write(self, lines):
        self.lines += [one.text for one in lines]

    def add(self, samples):
        pass

    def __enter__(self):
        self.ingest.__enter__()
        wait_until(lambda: self.ingest.listening)
        return self

    def __exit__(self, *_):
        self.ingest.__exit__()
        self.database.close()


def publish_lines(broker, prefix, count):
    messages = [(mqwire.log_topic(f"{prefix}/{n % 7}"), f"{n}", 1, False) for n in range(count)]
    publish.multiple(messages, hostname=broker.host, port=broker.port)


def test_two_servers_share_what_boards_say(broker, prefix, tmp_path):
    one, other = tmp_path / "a.db", tmp_path / "b.db"
    with Taking(broker, one, "two") as first, Taking(broker, other, "two") as second:
        assert first.ingest.shared and second.ingest.shared
        publish_lines(broker, prefix, 100)
        wait_until(lambda: len(first.lines) + len(second.lines) >= 100)
    assert sorted(first.lines + second.lines, key=int) == [str(n) for n in range(100)]
    assert len(first.lines) > 20 and len(second.lines) > 20


def test_who_may_read_only_some_boards_is_dealt_those(prefix, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text(f"topic read {prefix}/0/#\ntopic write #\n")
    acl.chmod(0o600)
    with Broker(extra=[f"acl_file {acl}"]) as broker, Taking(broker, tmp_path / "a.db", "x") as one:
        assert one.ingest.shared
        publish_lines(broker, prefix, 21)
        wait_until(lambda: len(one.lines) == 3)
    assert one.lines == ["0", "7", "14"]


def test_when_one_of_two_ends_the_other_hears_all(broker, prefix, tmp_path):
    with Taking(broker, tmp_path / "a.db", "pair") as first:
        with Taking(broker, tmp_path / "b.db", "pair"):
            pass
        publish_lines(broker, prefix, 20)
        wait_until(lambda: len(first.lines) == 20)


def test_without_shared_subscriptions_each_takes_those_of_its_boards(prefix, tmp_path, monkeypatch):
    connect = Connection.connect

    def refuse(self):
        if self._client.protocol == MQTTProtocolVersion.MQTTv5:
            raise BrokerError("it does not speak MQTT 5")
        connect(self)

    monkeypatch.setattr(Connection, "connect", refuse)
    with (
        Broker() as broker,
        Taking(broker, tmp_path / "a.db", "old", lambda prefix: prefix[-1] in "012") as first,
        Taking(broker, tmp_path / "b.db", "old", lambda prefix: prefix[-1] not in "012") as second,
    ):
        assert not first.ingest.shared
        publish_lines(broker, prefix, 70)
        wait_until(lambda: len(first.lines) + len(second.lines) >= 70)
    assert {int(line) % 7 for line in first.lines} == {0, 1, 2} and len(first.lines) == 30
    assert len(second.lines) == 40


def test_what_the_database_cannot_take_waits_and_is_bounded(broker, prefix, tmp_path, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.server.hearing.ingest._MOST", 50)
    monkeypatch.setattr("mqhost.fleet.server.hearing.ingest._FLUSH", 0.05)
    away = threading.Event()
    with Taking(broker, tmp_path / "a.db", "away") as taking:
        write = taking.write

        def failing(lines):
            if not away.is_set():
                raise StoreError("away")
            write(lines)

        monkeypatch.setattr(taking, "write", failing)
        publish_lines(broker, prefix, 80)
        wait_until(lambda: taking.ingest.lines == 80)
        away.set()
        wait_until(lambda: len(taking.lines) == 50)
    assert taking.lines == [str(n) for n in range(30, 80)] and taking.ingest.dropped == 30


# Figures and audit


def test_the_figures_are_openmetrics(served, board, broker):
    board.facts["version"] = 'a "strange"\n version\\'
    board.announce()
    wait_until(lambda: "strange" in served.fleet.live.get(board.prefix).fact("version"))
    served.http.post("/api/board/eval", params={"prefix": board.prefix}, json={"code": "1"})
    answer = served.http.get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    found = {family.name: family for family in openmetrics(answer.text)}
    states = {s.labels["state"]: s.value for s in found["mqboard_boards"].samples}
    assert states["online"] >= 1
    versions = [s.labels["version"] for s in found["mqboard_boards_by_version"].samples]
    assert board.facts["version"] in versions
    assert any(
        s.labels == {"what": "eval", "result": "done"} and s.value >= 1
        for s in found["mqboard_jobs"].samples
    )
    names = ("reconnects", "crashes", "transfer_bytes", "rollouts", "boards_by_mode", "servers")
    assert {f"mqboard_{name}" for name in names} <= set(found)


def test_an_older_prometheus_is_given_what_it_knows(served):
    answer = served.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "mqboard_broker_connected" in [family.name for family in prometheus(answer.text)]


def test_the_figures_take_a_token_where_there_are_users(served):
    served.fleet.users.add("prometheus", "look", None)
    assert served.http.get("/metrics").status_code == 401
    token = served.fleet.users.token("prometheus", "scrape", "look")
    headers = {"Authorization": f"Bearer {token}"}
    assert served.http.get("/metrics", headers=headers).status_code == 200
    assert served.http.get("/healthz").json() == {"ok": True, "broker": True}


def test_many_versions_are_not_all_told_apart():
    few = _few(Counter({("esp32", str(number)): 1 for number in range(1000)}))
    assert len(few) == 101 and few.total() == 1000


def test_the_audit_is_told_and_filtered(served, board):
    where = {"prefix": board.prefix}
    for code in ("1", "2", "3"):
        served.http.post("/api/board/eval", params=where, json={"code": code})
    told = served.http.get("/api/audit", params=where).json()
    assert [one["what"] for one in told] == [f"eval {n}" for n in (3, 3, 2, 2, 1, 1)]
    assert told[0]["who"] == "local" and told[0]["result"] == "done: It printed 2 B."
    older = served.http.get("/api/audit", params=where | {"before": told[1]["id"]}).json()
    assert [one["what"] for one in older] == [f"eval {n}" for n in (2, 2, 1, 1)]
    asked = where | {"what": "eval 2", "who": "local", "limit": 1}
    (one,) = served.http.get("/api/audit", params=asked).json()
    assert one["what"] == "eval 2"
    assert served.http.get("/api/audit", params=where | {"since": one["at"] + 999}).json() == []

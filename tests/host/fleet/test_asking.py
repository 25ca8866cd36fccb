"""Tests that boards are asked of whom the broker tells nothing: some keep statuses by node."""

import hashlib
import json
from types import SimpleNamespace

import pytest
from fakeboard import FakeBoard
from waiting import wait_until

import mqwire
from mqhost.fleet.asking import Asking, statuses_of
from mqhost.fleet.many import call_roll
from mqhost.fleet.rollout import field as field_module
from mqhost.fleet.rollout.field import BoardField
from mqhost.link.connection import Connection
from mqhost.link.settings import Settings
from mqwire import auth


@pytest.fixture
def connection(broker):
    connection = Connection(Settings(server=broker.host, port=broker.port))
    connection.connect()
    yield connection
    connection.close()


@pytest.fixture
def board(broker, prefix, connection):
    """Run a board of which the broker knows nothing."""
    with FakeBoard(broker.port, f"{prefix}/a") as board:
        forget(connection, board)
        yield board


def forget(connection, board):
    topic = mqwire.status_topic(board.prefix)
    connection.publish(topic, b"", retain=True).wait_for_publish(10)


def test_a_board_of_whom_the_broker_knows_nothing_is_asked(connection, board, prefix):
    found = call_roll(connection, [board.prefix, f"{prefix}/nobody"])
    assert found[board.prefix].online and found[board.prefix].status["board"] == "sim"
    assert found[f"{prefix}/nobody"] is None


def test_one_who_has_announced_himself_is_not_asked(connection, board):
    board.announce()
    wait_until(lambda: call_roll(connection, [board.prefix])[board.prefix], 10)
    assert not board.requests


def test_who_may_not_listen_knows_nobody(connection, board, monkeypatch):
    from mqhost.errors import BrokerError

    def subscribe(subscription):
        raise BrokerError("no")

    monkeypatch.setattr(connection, "subscribe", subscribe)
    assert statuses_of(connection, [board.prefix]) == {}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(field_module, "_ASK_AFTER_S", 0.1)
    monkeypatch.setattr(field_module, "_ASK_AGAIN_S", 0.3)
    monkeypatch.setattr(field_module, "_ASK_SELDOM_S", 0.5)


def test_a_field_asks_those_that_it_has_to_know(connection, board, prefix, impatient):
    with BoardField(connection, [f"{prefix}/+"], boards=[board.prefix]) as seen:
        assert board.prefix not in seen.seen()
        wait_until(lambda: board.prefix in seen.seen(), 20)
        assert seen.seen()[board.prefix].online


def test_after_a_new_connection_who_does_not_answer_is_offline(
    broker, connection, board, prefix, impatient
):
    board.announce()
    with BoardField(connection, [f"{prefix}/+"], boards=[board.prefix]) as seen:
        wait_until(lambda: board.prefix in seen.seen(), 20)
        board.silent = {"info"}
        forgetting = Connection(Settings(server=broker.host, port=broker.port))
        forgetting.connect()
        # Lost, as with a node of a cluster; and the next one knows nothing of the board.
        seen._roster._wants = lambda topic: False
        forget(forgetting, board)
        forgetting.close()
        connection._client.socket().shutdown(2)
        wait_until(lambda: connection.generation == 2, 20)
        assert seen.seen()[board.prefix].online
        wait_until(lambda: not seen.seen()[board.prefix].online, 20)
        board.silent = set()
        wait_until(lambda: seen.seen()[board.prefix].online, 20)


def test_one_that_wants_a_tag_is_asked_once_more_with_it():
    sent, answered = [], []
    key = "a secret that is long enough"
    connection = SimpleNamespace(
        settings=SimpleNamespace(auth_keys=(key,)),
        subscribe=lambda subscription: None,
        publish=lambda topic, payload: sent.append((topic, payload)),
    )
    asking = Asking(connection, lambda prefix, status: answered.append(prefix))
    asking.ask(["a/b"])
    ((topic, plain),) = sent
    maker = auth.Maker(hashlib.sha256, key)
    wanted = {"key": maker.name(), "nonce": "00" * 16}
    refusal = f"{auth.NO_TAG}: {json.dumps(wanted)}".encode()
    ident = topic.rpartition("/")[2]
    for _ in range(2):
        asking._hear(mqwire.error_topic("a/b", ident), refusal, False)
    (_, (again, sealed)) = sent
    assert again == topic and sealed.startswith(plain)
    assert len(sealed) == len(plain) + auth.TRAILER_SIZE
    said = mqwire.header(0, True) + json.dumps({"state": "online"}).encode()
    asking._hear(mqwire.reply_topic("a/b", ident), said, False)
    assert answered == ["a/b"]

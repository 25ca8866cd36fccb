"""Tests that boards of a crowd listen to broadcasts, as boards do: over a real broker."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from crowdparts import APP, BASE, SIM, Running
from hypothesis import given
from hypothesis import strategies as st
from pushing import offer_for
from waiting import wait_until

import mqwire
from ci.proxies.lossyproxy import LossyProxy, of_blocks
from mqhost.fleet.cast.listener import INSTALLED
from mqhost.fleet.cast.mend import pack_sum
from mqhost.fleet.cast.pusher import Cast
from mqhost.fleet.cast.stream import Stream
from mqhost.fleet.crowd.board import Kind
from mqhost.fleet.crowd.decode import Image, Sum, open_message, take_out
from mqhost.fleet.rollout.states import Board
from mqhost.link.connection import Connection
from mqhost.signing.offer import block_count, block_of
from mqhost.update.blocks import Encoder
from mqwire import update as wire

COUNT = block_count(len(APP))
BOARDS = 12


class Casting:
    """One Cast to a crowd: the broadcasts that are over, and what became of each board."""

    def __init__(self, running, settings=None, **options):
        self.running = running
        self.broadcasts, self.outcomes = [], {}
        self._settings = settings or running.settings
        self._options = options

    def __enter__(self):
        self._connection = Connection(self._settings)
        self._connection.connect()
        self._cast = Cast(
            self._settings,
            self._connection,
            finished=self.broadcasts.append,
            **{"pace": 0.0} | self._options,
        )
        return self

    def __exit__(self, *_):
        self._cast.stop()
        self._connection.close()

    def start(self, app=APP, **facts):
        offer = offer_for(app, **facts)
        for place, prefix in enumerate(self.running.crowd.prefixes):
            board = Board(prefix, offer.board, offer.sha256, 0, place)
            self._cast.start(board, offer, app, self._done(prefix))
        return self

    def wait(self):
        count = len(self.running.crowd.boards)
        wait_until(lambda: len(self.outcomes) == count, 90, lambda: self.outcomes)
        wait_until(lambda: self.broadcasts, 30)
        return self.broadcasts[0]

    def _done(self, prefix):
        return lambda outcome: self.outcomes.__setitem__(prefix, outcome)


def all_run(running, app=APP):
    return all(board.image.data == app for board in running.crowd.boards)


@pytest.fixture
def quick(monkeypatch):
    """Have boards say sooner what they miss, and the sender believe it sooner."""
    monkeypatch.setattr("mqhost.fleet.crowd.receiver._STARVED_S", 0.8)
    monkeypatch.setattr("mqhost.fleet.cast.broadcast._DIGEST", 0.3)


def test_one_stream_updates_all_of_them(broker, prefix):
    with Running(broker, prefix, BOARDS) as running, Casting(running) as casting:
        broadcast = casting.start().wait()
        assert all(outcome.confirmed for outcome in casting.outcomes.values())
        assert [one.state for one in broadcast.listeners] == [INSTALLED] * BOARDS
        assert broadcast.rounds == 1 and all_run(running)
    assert running.record["offers"] == BOARDS and not running.record["others_blocks"]
    assert running.record["blocks"] == COUNT * BOARDS


def test_differences_go_to_those_that_run_their_base(broker, prefix, monkeypatch):
    offer = offer_for(BASE)
    kind = Kind("sim", "esp32", Image(offer.sha256, offer.version, offer.seq, BASE))
    stored = SimpleNamespace(app=BASE)
    store = SimpleNamespace(get=lambda sha256: stored if sha256 == offer.sha256 else None)
    monkeypatch.setattr("mqhost.fleet.cast.pusher.ImageStore", lambda: store)
    with Running(broker, prefix, BOARDS, (kind,)) as running, Casting(running) as casting:
        broadcast = casting.start(seq=3).wait()
        assert all_run(running) and broadcast.stream_bytes < len(APP) / 4


def test_what_is_lost_is_asked_for_and_made_good_out_of_sums(broker, prefix, quick):
    app = random.Random(2).randbytes(320_000)
    with LossyProxy(broker.port, 0.05, of_blocks, seed=4) as proxy:
        lossy = SimpleNamespace(host=broker.host, port=proxy.port)
        with Running(lossy, prefix, BOARDS) as running:
            with Casting(running, replace(running.settings, port=broker.port)) as casting:
                broadcast = casting.start(app).wait()
            assert all_run(running, app) and proxy.lost
            assert [one.state for one in broadcast.listeners] == [INSTALLED] * BOARDS
    assert broadcast.rounds > 1 and running.record["summed_blocks"]


def test_older_ones_are_pushed_to_alone(broker, prefix):
    with Running(broker, prefix, BOARDS, old="50%") as running, Casting(running) as casting:
        broadcast = casting.start().wait()
        assert all_run(running) and len(broadcast.listeners) == BOARDS // 2
        spoken = {one.session.last_status["protocol"] for one in broadcast.listeners}
        assert spoken == {mqwire.PROTOCOL}


@pytest.mark.parametrize("fault", ["power", "offline"])
def test_what_goes_away_in_the_middle_goes_on_in_the_broadcast(broker, prefix, fault, quick):
    with Running(broker, prefix, 4, fail=[f"{fault}=2"]) as running:
        with Casting(running) as casting:
            broadcast = casting.start().wait()
        assert all_run(running)
    assert [one.state for one in broadcast.listeners] == [INSTALLED] * 4
    record = running.record
    assert record["power_cuts" if fault == "power" else "absences"] == 2
    assert record["blocks"] == 4 * COUNT and not record["again"]


def test_boards_at_a_node_that_retains_nothing_hear_the_offer_when_it_is_said_again(
    broker, prefix, monkeypatch
):
    monkeypatch.setattr("mqhost.fleet.cast.broadcast._OFFER_EVERY", 0.5)
    published = Connection.publish

    def unretained(connection, topic, payload, qos=1, retain=False):
        keeps = retain and not topic.endswith(wire.STREAM_OFFER)
        return published(connection, topic, payload, qos, keeps)

    monkeypatch.setattr(Connection, "publish", unretained)
    with Running(broker, prefix, 4) as running, Casting(running) as casting:
        broadcast = casting.start().wait()
        assert [one.state for one in broadcast.listeners] == [INSTALLED] * 4


def test_where_no_offer_is_or_a_wrong_one_the_board_says_so(broker, prefix, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.crowd.shared._PATIENCE_S", 0.3)
    stream = Stream(offer_for(APP), APP, root=prefix + "/root")
    with Running(broker, prefix) as running, running.session() as session:

        def told():
            with session.open("update") as exchange:
                exchange.send(stream.command())
                return wire.unpack_reply(exchange.receive(10).data)

        code, _, _, text = told()
        assert code == wire.MALFORMED and b"no offer came on" in text
        session.connection.publish(stream.offer_topic, b"another one", retain=True)
        code, _, _, text = told()
        assert code == wire.MALFORMED and b"named for" in text
        session.connection.publish(stream.offer_topic, b"", retain=True)


def test_an_offer_that_comes_while_another_one_is_fetched_waits_for_that(broker, prefix):
    stream = Stream(offer_for(APP), APP, root=prefix + "/root")
    with Running(broker, prefix) as running, running.session() as session:
        with session.open("update") as first, session.open("update") as second:
            first.send(stream.command())
            second.send(stream.command())
            wait_until(lambda: running.figures.offers == 2, 10)
            session.connection.publish(stream.offer_topic, stream.request, retain=True)
            for exchange in (first, second):
                code, _, _, needed = wire.unpack_reply(exchange.receive(10).data)
                assert (code, needed) == (wire.RECEIVING, b"")  # all of them
        session.connection.publish(stream.offer_topic, b"", retain=True)


def test_what_gets_no_blocks_is_given_up(broker, prefix, monkeypatch):
    monkeypatch.setattr("mqhost.fleet.crowd.receiver._STARVED_S", 0.1)
    monkeypatch.setattr("mqhost.fleet.crowd.receiver._ABANDONED_S", 0.3)
    with Running(broker, prefix) as running, running.session() as session:
        offer = offer_for(APP)
        request = wire.pack_request(offer.to_bytes(), b"", b"{}")
        with session.open("update") as exchange:
            exchange.send(request)
            codes = []
            wait_until(lambda: wire.CANCELLED in codes or codes.append(code_of(exchange)), 20)


def code_of(exchange):
    message = exchange.receive(10)
    return wire.unpack_reply(message.data)[0]


# Sums


@given(st.sets(st.integers(0, COUNT - 1), min_size=1, max_size=wire.MAX_SUMMED), st.randoms())
def test_what_is_left_of_a_sum_is_the_block_that_is_missed(numbers, chance):
    numbers = sorted(numbers)
    blocks = [block_of(APP, number) for number in numbers]
    (found,) = open_message(pack_sum(numbers, blocks), SIM[0].image)
    assert isinstance(found, Sum) and list(found.numbers) == numbers
    missed = chance.randrange(len(numbers))
    others = tuple(blocks[:missed] + blocks[missed + 1 :])
    assert take_out(found.total, others) == blocks[missed]


@given(st.integers(0, 300), st.integers(0, 9), st.binary(max_size=5000))
def test_no_message_does_harm(number, encoding, data):
    for message in (data, wire.pack_record(number, encoding, data)):
        for record in open_message(message, Image("", "", 0, BASE)):
            assert isinstance(record, Sum) or all(isinstance(one, bytes) for one in record[1])


def test_a_message_is_opened_once_for_all_that_run_the_same():
    message = next(Encoder(APP).messages([3]))[0]
    assert open_message(bytes(message), SIM[0].image) is open_message(
        bytes(bytearray(message)), SIM[0].image
    )

"""Tests that one broadcast updates many boards: what it costs, what is lost, who cannot listen."""

import threading
from types import SimpleNamespace

import pytest
from waiting import wait_until

from ci.proxies.lossyproxy import LossyProxy, at_qos_0, of_blocks
from mqhost.fleet.cast.listener import INSTALLED
from mqhost.fleet.cast.pusher import Cast
from mqhost.fleet.rollout.states import Board
from mqhost.link.connection import Connection, Subscription, Wide
from mqhost.signing.offer import load_image
from mqhost.sim.broker import Broker
from mqhost.update.transfer import SEND

WAIT = 120.0


class Field:
    """Boards that one Cast pushes to: the broadcasts that are over, and the outcomes by prefix."""

    def __init__(self, boards, **options):
        self.boards = boards
        self.broadcasts = []
        self.outcomes = {}
        self.pushed = {}
        self.sending = threading.Event()
        self.connection = Connection(boards[0].settings())
        self.connection.connect()
        self.cast = Cast(
            boards[0].settings(),
            self.connection,
            self._report,
            finished=self.broadcasts.append,
            pushed=self.pushed.__setitem__,
            **{"pace": 0.0} | options,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cast.stop()
        self.connection.close()

    def start(self, image):
        offer, app = load_image(image)
        for place, board in enumerate(self.boards):
            self.cast.start(
                Board(board.prefix, offer.board, offer.sha256, 0, place),
                offer,
                app,
                self._done(board),
            )

    def wait(self):
        """Wait until something has become of each board: all are confirmed."""
        wait_until(lambda: len(self.outcomes) == len(self.boards), WAIT, self._seen)
        assert all(outcome.confirmed for outcome in self.outcomes.values()), self.outcomes

    def _done(self, board):
        return lambda outcome: self.outcomes.__setitem__(board.prefix, outcome)

    def _report(self, prefix, stage, done, total):
        if stage == SEND and done > 0:
            self.sending.set()

    def _seen(self):
        return f"{self.outcomes}\n" + "\n".join(one.device.console.tail() for one in self.boards)


@pytest.fixture
def fleet(make_board):
    """Give fleet(count, image=…, at=…) -> boards that take updates."""

    def make(count, *image, **options):
        boards = [make_board(*image, **options) for _ in range(count)]
        for board in boards:
            board.wait_confirmed()
        return boards

    return make


@pytest.fixture
def losing(broker):
    """Give losing(loses) -> a proxy that loses one in twenty, and the place where it listens."""
    made = []

    def make(loses):
        made.append(LossyProxy(broker.port, 0.05, loses))
        made[-1].__enter__()
        return made[-1], SimpleNamespace(host="127.0.0.1", port=made[-1].port)

    yield make
    for proxy in made:
        proxy.close()


def test_one_stream_updates_all_whatever_is_lost_at_qos_0(fleet, losing, variant):
    proxy, at = losing(at_qos_0)
    with Field(fleet(6, at=at), full=True) as field:
        proxy.up.clear()
        field.start(variant("2.0.0").app)
        field.wait()
    (broadcast,) = field.broadcasts
    assert proxy.lost > 0
    assert broadcast.rounds == 1
    up = proxy.up["blocks"] + proxy.up["commands"] + proxy.up["replies"]
    assert up <= 1.05 * broadcast.stream_bytes
    assert sum(result.bytes_sent for result in field.pushed.values()) <= broadcast.bytes_sent


def test_what_boards_have_lost_is_sent_for_all_of_them_at_once(fleet, losing, variant):
    proxy, at = losing(of_blocks)
    with Field(fleet(6, at=at), full=True) as field:
        field.start(variant("2.0.0").app)
        field.wait()
    (broadcast,) = field.broadcasts
    assert proxy.lost > 20
    assert broadcast.rounds > 1
    installed = [one for one in broadcast.listeners if one.state == INSTALLED]
    assert len(installed) >= 5  # one may have lost the offer twice
    assert broadcast.bytes_sent <= 1.3 * broadcast.stream_bytes


def test_each_base_has_a_stream_of_its_differences_and_nothing_stays(fleet, firmware, variant):
    with Field(fleet(2) + fleet(2, variant("1.5.0"))) as field:
        field.start(variant("2.0.0").app)
        field.wait()
        heard = []
        topic = field.broadcasts[0].stream.offer_topic
        field.connection.subscribe(Subscription({topic: lambda *what: heard.append(what)}))
        field.connection.publish(topic, b"now")
        wait_until(lambda: heard, 10)
        assert heard == [(b"now", False)]
    streams = {broadcast.stream.topic: broadcast for broadcast in field.broadcasts}
    assert len(streams) == 2
    for broadcast in streams.values():
        assert broadcast.bytes_sent < 0.05 * firmware.app.stat().st_size
        assert [one.state for one in broadcast.listeners] == [INSTALLED] * 2


def test_a_board_that_restarts_in_between_listens_again(fleet, variant):
    boards = fleet(2)
    for board in boards:
        board.device.latency(True)
    with Field(boards, full=True, pace=0.02) as field:
        field.start(variant("2.0.0").app)
        assert field.sending.wait(WAIT)
        boards[0].device.press_reset()
        field.wait()
    (broadcast,) = field.broadcasts
    assert [one.state for one in broadcast.listeners] == [INSTALLED] * 2
    assert broadcast.rounds > 1


def test_boards_that_may_not_listen_are_pushed_to_alone(fleet, variant, tmp_path):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite e2e/#\ntopic write mqboard/#\n")
    with Broker(extra=[f"acl_file {rules}"]) as strict, Field(fleet(2, at=strict)) as field:
        field.start(variant("2.0.0").app)
        field.wait()
    (broadcast,) = field.broadcasts
    assert broadcast.rounds == 0
    assert all("no offer came" in one.why for one in broadcast.listeners)


def test_what_was_stopped_says_no_word_and_can_begin_again(fleet, variant):
    boards = fleet(2)
    for board in boards:
        board.device.latency(True)
    with Field(boards, full=True, pace=0.05) as field:
        field.start(variant("2.0.0").app)
        assert field.sending.wait(WAIT)
        field.cast.stop()
        for board in boards:
            board.device.latency(False)
        field.start(variant("2.0.0").app)
        field.wait()


def test_a_rollout_sends_its_wave_one_stream(fleet, variant, tmp_path):
    boards = fleet(3)
    new = variant("2.0.0")
    topics = set()  # of blocks: of broadcasts, and of pushes to one
    filters = ["mqboard/mqb/blocks/+", "+/+/mqb/blocks/+"]
    onlooker = Connection(boards[0].settings())
    onlooker.connect()
    onlooker.subscribe(Wide("blocks", filters, lambda topic, *_: topics.add(topic)))
    words = ["fleet", "rollout", new.app, *(board.prefix for board in boards), "--canary", "0"]
    words += ["--wave", "100%", "--settle", "0s", "--yes", "--database", tmp_path / "fleet.db"]
    code, out, err = boards[0].mqboard(*words)
    onlooker.close()
    assert code == 0, (out, err)
    assert {board.wait_confirmed()["image"] for board in boards} == {new.sha256}
    blocks = {topic for topic in topics if "/mqb/blocks/" in topic}
    assert len(blocks) == 1 and blocks.pop().startswith("mqboard/")

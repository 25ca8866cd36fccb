"""Tests the real board on brokers of other makes: birth, commands, log, files, an update, the will;
and a rollout on RabbitMQ, whose node dies in the middle of it.
"""

import asyncio
import json
import threading

import pytest
from waiting import wait_until

import mqwire
from ci.cluster.balancer import Balancer
from ci.cluster.nats import Nats
from ci.cluster.rabbitmq import Cluster
from mqhost.fleet.crowd.board import Kind
from mqhost.fleet.crowd.crowd import Crowd, Plan
from mqhost.fleet.crowd.decode import Image
from mqhost.fleet.crowd.faults import Rates
from mqhost.fleet.many import call_roll
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.running import drive_rollout
from mqhost.fleet.rollout.states import DONE, FINISHED
from mqhost.fleet.store.store import Store
from mqhost.link.connection import Connection, Subscription
from mqhost.link.settings import Settings
from mqhost.signing.offer import load_image
from mqhost.sim.broker import HOST

NEXT = "other.2"
BOARDS = 8


class Address:
    """Where a broker is, for boards."""

    def __init__(self, port):
        self.host, self.port = HOST, port


@pytest.fixture(scope="module")
def nats():
    with Nats() as running:
        yield Address(running.port)


@pytest.fixture(scope="module")
def cluster():
    """Run one node: three are measured by ./invoke bench --only fleet."""
    with Cluster(nodes=1) as running:
        yield running


@pytest.fixture(scope="module")
def rabbitmq(cluster):
    with Balancer([node.port for node in cluster.nodes]) as balancer:
        yield Address(balancer.port)


@pytest.fixture(params=["nats", "rabbitmq"])
def other(request):
    return request.getfixturevalue(request.param)


def test_a_board_does_its_work_on_other_brokers(make_board, other, firmware, variant, tmp_path):
    board = make_board(at=other)
    board.wait_online()
    code, out, err = board.mqboard("eval", "print('a line'); 6*7")
    assert (code, out) == (0, "a line\n42\n"), f"{code}\n{out}{err}{board.device.console.tail()}"
    lines = []
    with board.session() as session:
        heard = {mqwire.log_topic(board.prefix): lambda payload, retained: lines.append(payload)}
        session.connection.subscribe(Subscription(heard))
        board.eval("__import__('mqboard.log').log.Logger('smoke').info('it is heard')")
        wait_until(lambda: any(b"smoke: it is heard" in line for line in lines), 30)
    big = bytes(range(256)) * 300
    (tmp_path / "big.bin").write_bytes(big)
    for words in (("put", tmp_path / "big.bin"), ("get", ":big.bin", tmp_path / "back.bin")):
        code, _, err = board.mqboard(*words)
        assert code == 0, err
    assert (tmp_path / "back.bin").read_bytes() == big
    board.wait_confirmed()
    code, out, err = board.mqboard("ota", "--image", variant(NEXT).app, timeout=180)
    assert code == 0, out + err
    assert json.loads(board.said("info", "--json"))["version"] == NEXT
    board.device.stop()
    with board.session() as session:
        assert session.wait_status(lambda status: status["state"] == "offline", 30)


def test_a_rollout_outlives_the_node_of_its_broker(
    make_board, cluster, rabbitmq, firmware, variant, tmp_path
):
    sim = make_board(at=rabbitmq)
    sim.wait_online()
    sim.wait_settled()
    offer, app = load_image(firmware.app)
    image = Image(offer.sha256, offer.version, offer.seq, app)
    plan = Plan(BOARDS, "herd/{n}", (Kind("sim", "esp32", image),), Rates({}), 100)
    settings = Settings(server=HOST, port=rabbitmq.port, prefix="herd/1", timeout=20)
    crowd = Crowd(settings, plan, restart_s=0.5, health_s=0.2)
    prefixes = [sim.prefix, *crowd.prefixes]
    new = load_image(variant(NEXT).app)
    with playing(crowd), Store(str(tmp_path / "fleet.db")) as store:
        number = created(store, settings, prefixes, new)
        driver = threading.Thread(target=drive_rollout, args=(store, number, settings))
        driver.start()
        wait_until(lambda: done(store, number), 60, lambda: str(store.read(number)))
        cluster.nodes[0].stop(hard=True)
        cluster.nodes[0].start()
        driver.join(180)
        assert not driver.is_alive(), store.read(number)
        rollout, rows = store.read(number)
        assert rollout.state == FINISHED and {row.state for row in rows} == {DONE}
        record = crowd.record()
    assert record["confirmed"] == record["installed"] == BOARDS and not record["again"]
    assert json.loads(sim.said("info", "--json"))["version"] == NEXT


def done(store, number):
    return sum(row.state == DONE for row in store.read(number)[1])


def created(store, settings, prefixes, new):
    """Make a rollout to boards that are named: RabbitMQ tells nothing to who asks for all."""
    connection = Connection(settings)
    connection.connect()
    try:
        boards = call_roll(connection, prefixes)
    finally:
        connection.close()
    assert all(boards.values()), boards
    wish = {"canary": "0", "wave": "100%", "settle": "0s", "parallel": "2", "wait": "5m"}
    options = Options.parse(**wish)
    plan = make_plan(boards.values(), [new[0]], options)
    return store.create(plan, [new], options, broker=settings.where, who="test")


class playing:
    """Runs a crowd in a thread, while the `with` block does; all are online."""

    def __init__(self, crowd):
        self.crowd = crowd
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        await self.crowd.run(self.stop, lambda crowd: None, 1, 0)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.crowd.online == len(self.crowd.boards), 60)

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(30)

"""Publishes what a broker hangs up at: it is given up after three connections, and nothing else."""

import pytest
from certificates import Authority
from standalone import Standalone
from strictbroker import StrictBroker

from mqhost.sim.broker import Broker

PATIENCE = 60.0
MOST = 5000  # bytes of a packet that mosquitto takes
PUBLISH = """
async def publish_all(payloads, qos, size):
    async with client.window(size) as window:
        for payload in payloads:
            await window.publish("up", payload, qos=qos)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def refused(board):
    return board.do("return client.refused, len(client.outbox.waiting)")


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("place", [0, 3, 7])
def test_the_others_in_its_window_arrive_in_their_order(alone, qos, clean, place):
    payloads = [b"%d" % number for number in range(8)]
    with StrictBroker() as broker, Standalone(alone, broker.port, clean=clean) as board:
        broker.refuses = payloads[place]
        board.wait_up()
        board.define(PUBLISH)
        board.do(f"await publish_all({payloads}, {qos}, 8)", PATIENCE)
        assert refused(board) == [1, 0]
        # Three times it was alone; before that, perhaps, it was not.
        assert 3 <= broker.hang_ups <= 5, board.told
        board.wait("log", "given up: a message of 1 bytes to up, at which the broker hangs up")
        del payloads[place]
        arrived = [payload for _, payload in broker.taken]
        assert list(dict.fromkeys(arrived)) == payloads
        assert qos == 1 or clean or arrived == payloads
        assert not broker.faults


@pytest.mark.parametrize("secure", [False, True])
def test_mosquitto_hangs_up_at_too_large_a_packet(alone, authority, secure):
    lines, options = [f"max_packet_size {MOST}"], {}
    if secure:
        lines += authority.listener()
        options = {"host": "localhost", "tls": {"ca": str(authority.ca)}}
    with (
        Broker(extra=lines, tls=secure) as broker,
        Standalone(alone, broker.port, **options) as board,
    ):
        board.wait_up()
        large = board.start(f"return await client.publish('up', bytes({MOST}), qos=1)")
        small = board.start("return await client.publish('up', b'small', qos=1)")
        assert board.finish(large, PATIENCE) is False
        assert board.finish(small, PATIENCE) is True
        assert refused(board) == [1, 0]

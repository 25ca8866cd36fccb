"""Has the same conversation with every broker: amqtt, and mosquitto in its ways to let clients in.

A second client of ours is the other side, so that the broker alone decides what is said.
"""

import contextlib
import hashlib
import subprocess

import pytest
from amqtt_broker import AmqttBroker
from certificates import Authority
from standalone import Standalone

from ci.proxies.faultproxy import FaultProxy, cut_at_random
from mqhost.sim.broker import Broker

CLOSED = "allow_anonymous false"
MOSQUITTO = ["plain", "password", "tls", "certificate", "persistent"]
# amqtt forgets what it should keep for a client that is away (paho gets none of it either).
keeping = pytest.mark.parametrize("broker", MOSQUITTO, indirect=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("brokers")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def passwords(folder):
    """Make a mosquitto password file with one user, board, whose password is sésame."""
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", path, "board", "sésame"], check=True)
    return path


@pytest.fixture(params=[*MOSQUITTO, "amqtt"])
def broker(request, folder, authority, passwords, tmp_path):
    """Give (port, how to connect to it)."""
    known = {"user": "board", "password": "sésame"}
    with contextlib.ExitStack() as stack:
        if request.param == "amqtt":
            yield stack.enter_context(AmqttBroker()).port, {}
            return
        lines, persistence, options = [], None, {}
        if request.param == "password":
            lines = [CLOSED, f"password_file {passwords}"]
            options = known
        if request.param == "tls":
            lines = [*authority.listener(), CLOSED, f"password_file {passwords}"]
            options = known | {"host": "localhost", "tls": {"ca": str(authority.ca)}}
        if request.param == "certificate":
            lines = [*authority.listener(), f"cafile {authority.ca}"]
            lines += ["require_certificate true", "use_identity_as_username true"]
            cert, key = authority.issue("board")
            tls = {"ca": str(authority.ca), "cert": str(cert), "key": str(key)}
            options = {"host": "localhost", "tls": tls}
        if request.param == "persistent":
            persistence = tmp_path
        tls = "tls" in options
        made = stack.enter_context(Broker(extra=lines, persistence=persistence, tls=tls))
        yield made.port, options


@pytest.fixture
def make(alone, broker):
    """Give make("name", clean=False) -> a client, connected."""
    made = []

    def start(name, up=True, **changes):
        port, options = broker
        made.append(Standalone(alone, client_id=name, **{"port": port} | options | changes))
        if up:
            made[-1].wait_up()
        return made[-1]

    yield start
    for board in made:
        board.kill()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_of_each_qos_in_both_directions(make, qos):
    board, other = make("board"), make("other")
    board.do(f"await client.subscribe('down/+', show, qos={qos})")
    other.do(f"await client.subscribe('up/#', show, qos={qos})")
    for number in range(20):
        for one, topic in ((board, "up/a/b"), (other, "down/ä")):
            assert one.do(f"return await client.publish('{topic}', b'{number}', qos={qos})") is True
    other.wait("got", "up/a/b", "19", False)
    board.wait("got", "down/ä", "19", False)
    assert [words[2] for words in other.all("got")] == [str(number) for number in range(20)]
    assert [words[2] for words in board.all("got")] == [str(number) for number in range(20)]


def test_a_large_message_there_and_back(make):
    board = make("board", heap="2m")
    board.define(
        "import hashlib\n"
        "digest = hashlib.sha256()\n"
        "def piece(topic, view, retained, position, total):\n"
        " digest.update(view)\n"
        " if position + len(view) == total: say('whole', total, digest.digest().hex())"
    )
    board.do("await client.subscribe('large', piece, qos=1, stream=True)")
    board.do("await client.publish('large', bytes(range(256)) * 800, qos=1)")
    data = bytes(range(256)) * 800
    board.wait("whole", len(data), hashlib.sha256(data).hexdigest())


def test_retained_and_wiped(make):
    board = make("board")
    board.do("await client.publish('kept', b'old', qos=1, retain=True)")
    board.do("await client.subscribe('kept', show)")
    board.wait("got", "kept", "old", True)
    board.do("await client.publish('kept', b'', qos=1, retain=True)")
    board.wait("got", "kept", "", False)
    board.do("await client.unsubscribe('kept')")
    board.do("await client.subscribe('kept', show)\nawait client.subscribe('end', show)")
    board.do("await client.publish('end', b'', qos=1)")
    board.wait("got", "end")
    assert len(board.all("got", "kept")) == 2


def test_unsubscribed_messages_stay_away(make):
    board = make("board")
    board.do("await client.subscribe('a', show)\nawait client.subscribe('b', show)")
    board.do("await client.unsubscribe('a')")
    for topic in "ab":
        board.do(f"await client.publish('{topic}', b'', qos=2)")
    board.wait("got", "b")
    assert not board.all("got", "a")


def test_the_will_comes_after_a_power_cut_only(make):
    watcher = make("watcher")
    watcher.do("await client.subscribe('will/#', show)")
    polite = make("polite", will=["will/polite", "gone", 1, False])
    polite.leave()
    make("rude", will=["will/rude", "gone", 1, False]).kill()
    watcher.wait("got", "will/rude", "gone")
    assert not watcher.all("got", "will/polite")


@keeping
def test_a_session_brings_what_was_missed(make):
    board, other = make("board", clean=False), make("other")
    board.do("await client.subscribe('down', show, qos=1)")
    board.kill()
    other.do("await client.publish('down', b'missed', qos=1)")
    again = make("board", clean=False, up=False)
    again.define("client.unmatched = show")  # before its subscription is made again
    assert again.wait_up() is True
    again.wait("got", "down", "missed")


def test_numbered_messages_over_a_link_that_is_cut(make, broker):
    port, options = broker
    with FaultProxy(port) as proxy:
        board, other = make("board", port=proxy.port, clean=False), make("other")
        other.define("import numbered; numbers = numbered.Numbers(300)")
        other.do("await client.subscribe('up', numbers.take)")
        board.define("import numbered; client.hang_ups = 1000")  # it is the link that breaks
        # A TLS connection begins with some thousand bytes.
        proxy.plan = cut_at_random(5, 5000 if "tls" in options else 400)
        proxy.cut()
        board.do("await numbered.publish_pipelined(client, 'up', 0, 300, 1)", 60)
        other.do("await until(lambda: numbers.arrived == 300)", 60)
        assert other.do("return numbers.unordered") == 0
        assert proxy.cuts > 2


@keeping
def test_a_kept_session_over_a_link_that_is_cut(make, broker):
    port, options = broker
    with FaultProxy(port) as proxy:
        board, other = make("board", port=proxy.port, clean=False), make("other")
        board.define("import numbered; numbers = numbered.Numbers(300)")
        board.do("await client.subscribe('down', numbers.take)")
        other.define("import numbered")
        proxy.plan = cut_at_random(6, 5000 if "tls" in options else 400)
        proxy.cut()
        other.do("await numbered.publish_pipelined(client, 'down', 0, 300, 1)")
        board.do("await until(lambda: numbers.arrived == 300)", 60)
        assert board.do("return numbers.unordered") == 0
        assert proxy.cuts > 2

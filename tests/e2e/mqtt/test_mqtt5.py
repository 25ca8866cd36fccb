"""Has the client of MQTT 5 speak with mosquitto, and with a broker that knows only 3.1.1."""

import contextlib
import socket
import struct
import subprocess
import threading

import pytest
from certificates import Authority
from hostclient5 import HostClient5
from standalone import Standalone
from strictbroker import StrictBroker

from ci.proxies.faultproxy import FaultProxy, cut_at_random
from mqhost.sim.broker import Broker

SESSION_EXPIRY = 0x11
NAMES = "from mqboard.mqtt5 import properties as props"
TELL = """
def tell(topic, payload, retained, given):
    given = given or {}
    data = given.get(props.CORRELATION_DATA)
    if data:
        given[props.CORRELATION_DATA] = data.decode()
    say("got", topic, str(payload, "utf-8"), sorted(given.items()))
"""
GIVEN = (
    "{1: 1, 2: 60, 3: 'text/plain', 8: 'answer/here', 9: b'tag', 0x26: [('a', '1'), ('a', 'ä')]}"
)
NUMBERS = 200


@pytest.fixture
def make(alone):
    """Give make(port, "name", …) -> a client of MQTT 5, connected."""
    with contextlib.ExitStack() as stack:

        def start(port, name="board", up=True, **options):
            options = {"port": port, "client_id": name, "mqtt5": True} | options
            board = stack.enter_context(Standalone(alone, **options))
            board.define(f"{NAMES}\n{TELL}")
            if up:
                board.wait_up()
            return board

        yield start


def test_properties_reach_others_and_come_from_them(make, broker):
    board = make(broker.port)
    assert board.do("return client.level") == 5
    with HostClient5(broker.port, "up/#") as desk:
        for qos in (0, 1, 2):
            publish = f"await client.publish('up/{qos}', b'hi', qos={qos}, properties={GIVEN})"
            board.do(publish)
            found = desk.wait(qos + 1)[qos].properties
            assert found.ContentType == "text/plain" and found.ResponseTopic == "answer/here"
            assert found.CorrelationData == b"tag" and found.PayloadFormatIndicator == 1
            assert found.UserProperty == [("a", "1"), ("a", "ä")]
            assert 58 <= found.MessageExpiryInterval <= 60
        board.do("await client.subscribe('down', tell, properties=True, no_local=True)")
        board.do("await client.publish('down', b'our own')")
        desk.publish(
            "down", b"yes", ContentType="x", CorrelationData=b"tag", UserProperty=("k", "v")
        )
        wanted = [[3, "x"], [9, "tag"], [0x26, [["k", "v"]]]]
        assert board.wait("got") == ["got", "down", "yes", wanted]


def test_a_topic_that_comes_again_is_sent_as_its_alias(make, broker):
    with FaultProxy(broker.port) as proxy, HostClient5(broker.port, "long/#") as desk:
        board = make(proxy.port)
        assert board.do("return client.granted[props.TOPIC_ALIAS_MAXIMUM]") > 0
        topic = "long/" + "t" * 200
        for number in range(5):
            board.do(f"await client.publish('{topic}', b'{number}', qos={number % 3})")
        assert {message.topic for message in desk.wait(5)} == {topic}
        board.do("say('sent', [len(each) for each in client.outbox._aliases])")
        assert board.wait("sent")[1] == [len(topic) + 2]


def test_what_the_broker_refuses_says_its_reason(make, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite open/#\n")
    with Broker(extra=[f"acl_file {acl}"]) as broker:
        board = make(broker.port)
        for qos in (1, 2):
            assert board.do(f"return await client.publish('shut', b'', qos={qos})") is False
            assert board.do("return client.refusal.code") == 0x87
            assert board.do(f"return await client.publish('open/a', b'', qos={qos})") is True
        assert board.do("return client.refused, len(client.outbox.waiting)") == [2, 0]
        board.wait_for(lambda words: words[0] == "log" and "not authorized (0x87)" in words[1])


def test_a_login_that_is_refused_says_its_reason(make, tmp_path):
    path = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", path, "board", "right"], check=True)
    with Broker(extra=["allow_anonymous false", f"password_file {path}"]) as broker:
        board = make(broker.port, up=False, user="board", password="wrong")
        words = board.wait_for(lambda words: words[0] == "log" and "(0x" in words[1])[1]
        assert "not authorized (0x87)" in words or "bad user name or password (0x86)" in words
        assert make(broker.port, "two", user="board", password="right").do("return 1") == 1


def test_the_limits_of_the_broker_are_kept(make):
    limits = ["max_inflight_messages 2", "max_packet_size 600", "max_keepalive 10"]
    with Broker(extra=limits) as broker, HostClient5(broker.port, "up/#") as desk:
        board = make(broker.port)
        granted = board.do("return client.granted[0x21], client.granted[0x27], client.keepalive")
        assert granted == [2, 600, 10]
        board.define("import numbered")
        board.do("await numbered.publish_pipelined(client, 'up/all', 0, 50, 1)")
        assert [int(message.payload) for message in desk.wait(50)] == list(range(50))
        assert board.do("return await client.publish('up/big', bytes(700), qos=1)") is False
        assert board.do("return client.refusal.code") == 0x95
        assert board.do("return client.connects") == 1


@pytest.mark.parametrize("secure", [False, True])
def test_numbered_messages_both_ways_over_a_link_that_is_cut(make, secure, tmp_path):
    lines, options = ["max_queued_messages 0"], {}
    if secure:
        authority = Authority(tmp_path)
        lines += authority.listener()
        options = {"host": "localhost", "tls": {"ca": str(authority.ca)}}
    with Broker(extra=lines, tls=secure) as broker, FaultProxy(broker.port) as proxy:
        expiry = {str(SESSION_EXPIRY): 600}
        board = make(proxy.port, properties=expiry, **options)
        other = make(broker.port, "other", properties=expiry, **options)
        for one, topic in ((board, "down"), (other, "up")):
            one.define(f"import numbered; numbers = numbered.Numbers({NUMBERS})")
            one.define("client.hang_ups = 1000")  # it is the link that breaks
            one.do(f"await client.subscribe('{topic}', numbers.take)")
        proxy.plan = cut_at_random(7, 6000 if secure else 900)
        proxy.cut()
        tasks = [
            (
                one,
                one.start(f"await numbered.publish_pipelined(client, '{topic}', 0, {NUMBERS}, 1)"),
            )
            for one, topic in ((board, "up"), (other, "down"))
        ]
        for one, task in tasks:
            one.finish(task, 60)
        for one in (board, other):
            one.do(f"await until(lambda: numbers.arrived == {NUMBERS})", 60)
        assert other.do("return numbers.unordered") == 0
        assert proxy.cuts > 2


def test_a_broker_that_has_no_mqtt_5_is_spoken_to_by_3_1_1(make):
    with StrictBroker() as broker:
        board = make(broker.port)
        assert board.do("return client.level") == 4
        board.do("await client.subscribe('down', tell, properties=True)")
        assert board.do(f"return await client.publish('up', b'!', qos=2, properties={GIVEN})")
        broker.publish("down", b"?", 1)
        assert board.wait("got") == ["got", "down", "?", []]
        assert broker.taken == [("up", b"!")]


class Sender(threading.Thread):
    """A broker that sends each client on to another one."""

    def __init__(self, reference):
        super().__init__(daemon=True)
        text = reference.encode()
        given = b"\x1c" + struct.pack(">H", len(text)) + text
        body = b"\0\x9c" + bytes((len(given),)) + given
        self._answer = b"\x20" + bytes((len(body),)) + body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(self._answer)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_another_server_is_gone_to(make, broker):
    sender = Sender(f"127.0.0.1:{broker.port}")
    sender.start()
    with contextlib.closing(sender), HostClient5(broker.port, "up") as desk:
        board = make(sender.port)
        # By the opener of the package, too.
        board.define("client._opener = net.opener(None, settings['host'], settings['port'])")
        board.do("client._lose(None)\nawait client.down.wait()\nawait client.up.wait()")
        assert board.do("return client.connects") == 2
        assert board.do("return await client.publish('up', b'here', qos=1)") is True
        assert desk.wait(1)[0].payload == b"here"


def test_a_session_that_expires_brings_what_came_meanwhile(make, broker):
    with FaultProxy(broker.port) as proxy, HostClient5(broker.port, "none") as desk:
        board = make(proxy.port, properties={str(SESSION_EXPIRY): 60})
        board.do("await client.subscribe('down', tell, properties=True)")
        proxy.refuse()
        board.wait("down")
        desk.publish("down", b"kept", MessageExpiryInterval=1000)
        proxy.refuse(False)
        expiry = dict(board.wait("got", "down", "kept")[3])[2]
        assert 900 < expiry <= 1000


def test_a_session_that_expires_outlives_a_restart_of_the_broker(make, tmp_path):
    with Broker(persistence=tmp_path) as broker, FaultProxy(broker.port) as proxy:
        board = make(proxy.port, properties={str(SESSION_EXPIRY): 60})
        board.do("await client.subscribe('down', tell, properties=True)")
        proxy.refuse()
        board.wait("down")
        with HostClient5(broker.port, "none") as desk:
            desk.publish("down", b"before")
        broker.restart()
        proxy.refuse(False)
        assert board.wait("got", "down", "before")
        assert board.do("return client.session_present") is True

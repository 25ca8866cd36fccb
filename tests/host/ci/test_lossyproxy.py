"""Tests the proxy that loses messages: which, how many, and what it counts."""

import pytest
from waiting import wait_until

from ci.proxies.lossyproxy import LossyProxy, at_qos_0, of_blocks
from mqhost.link.connection import Connection, Subscription
from mqhost.link.settings import Settings


@pytest.fixture
def link(broker):
    """Give link(rate, loses) -> (proxy, connection through it, what that hears on a topic)."""
    opened = []

    def make(rate, loses, topic, qos=1):
        proxy = LossyProxy(broker.port, rate, loses)
        proxy.__enter__()
        opened.append(proxy)
        connection = Connection(Settings(server="127.0.0.1", port=proxy.port, tls=False))
        connection.connect()
        opened.append(connection)
        heard = []
        subscription = Subscription({topic: lambda payload, retained: heard.append(payload)})
        subscription.qos = qos
        connection.subscribe(subscription)
        return proxy, connection, heard

    yield make
    for one in reversed(opened):
        one.close()


def send(connection, topic, count, qos):
    for number in range(count):
        connection.publish(topic, b"%d" % number, qos)
    connection.publish(topic, b"end", 1)


def test_messages_at_qos_0_are_lost_both_ways_and_others_are_not(link):
    proxy, connection, heard = link(0.3, at_qos_0, "lossy/a")
    send(connection, "lossy/a", 200, 0)
    wait_until(lambda: b"end" in heard, 10)
    assert len(heard) == 201 - proxy.lost
    assert 40 < proxy.lost < 160
    heard.clear()
    lost = proxy.lost
    send(connection, "lossy/a", 100, 1)
    wait_until(lambda: b"end" in heard, 10)
    assert (len(heard), proxy.lost) == (101, lost)


def test_blocks_are_lost_on_the_way_down_and_the_broker_goes_on(link):
    topic = "lossy/mqb/blocks/x"
    proxy, connection, heard = link(0.5, of_blocks, topic)
    send(connection, topic, 200, 1)  # more than a broker has on the way without an answer
    wait_until(lambda: len(heard) + proxy.lost == 201, 10)
    assert 60 < proxy.lost < 140
    assert proxy.up["blocks"] > 201 * (2 + 2 + len(topic) + 2 + 1)


def test_what_passes_up_is_counted_by_what_it_is_about(link):
    proxy, connection, heard = link(0.0, at_qos_0, "lossy/end")
    for topic in ("b/mqb/cmd/info/abc", "b/mqb/reply/out/abc", "b/mqb/cmd/ping/p1"):
        connection.publish(topic, b"12345", 0)
    connection.publish("b/mqb/reply/out/p1", b"12345", 0)
    connection.publish("b/log", b"12345", 0)
    send(connection, "lossy/end", 0, 1)
    wait_until(lambda: heard, 10)
    assert proxy.up["commands"] == 2 + 2 + len("b/mqb/cmd/info/abc") + 5
    assert proxy.up["replies"] == 2 + 2 + len("b/mqb/reply/out/abc") + 5
    pings = len("b/mqb/cmd/ping/p1") + len("b/mqb/reply/out/p1")
    assert proxy.up["pings"] == 2 * (2 + 2 + 5) + pings
    assert proxy.up["log"] == 2 + 2 + len("b/log") + 5
    assert proxy.lost == 0


def test_its_end_is_the_end_of_its_connections(link):
    proxy, connection, _ = link(0.0, at_qos_0, "lossy/end")
    proxy.close()
    wait_until(lambda: not connection.connected, 10)

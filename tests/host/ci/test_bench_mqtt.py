"""Tests the bench group mqtt: its peer, its names; without MicroPython."""

import socket
import ssl
import threading
from itertools import product

import pytest

from ci.bench import mqtt
from ci.bench.mqtt.lab import certify
from ci.bench.mqtt.peer import DONE, Link, Peer, publish_packet


@pytest.mark.parametrize("size, head", [(64, 2), (109, 2), (110, 3), (1024, 3), (16384, 4)])
def test_packets_are_those_of_the_standard(size, head):
    packet = publish_packet(0, size)
    assert packet[0] == 0x30
    assert len(packet) == head + 2 + 16 + size
    assert publish_packet(1, size, 65536)[-size - 2 : -size] == b"\0\1"


def test_every_work_and_size_has_a_count():
    for work, size, secure in product(mqtt._WORK, mqtt._SIZES, (False, True)):
        kind, _ = mqtt._WORK[work]
        assert mqtt._count(kind, size, secure) >= 1000


@pytest.fixture
def pair():
    """Make a Link, and the client's end of it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    with ours, theirs:
        yield Link(ours, None), theirs


def client(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def receive(stream, size):
    data = b""
    while len(data) < size:
        piece = stream.recv(65536)
        assert piece
        data += piece
    return data


def test_a_flood_arrives_whole_and_ends_with_the_clients_word(pair):
    link, stream = pair
    packets = [publish_packet(1, 3000, number) for number in range(1, 400)]
    got = []

    def work():
        got.append(receive(stream, sum(map(len, packets))))
        stream.sendall(DONE)

    thread = client(work)
    assert link.flood(packets, len(DONE)) > 0
    thread.join(10)
    assert got == [b"".join(packets)]


def test_published_packets_are_acknowledged_however_they_arrive(pair):
    link, stream = pair
    packets = [publish_packet(1, 10, number) for number in range(1, 301)]
    answers = []

    def work():
        data = b"".join(packets)
        for at in range(0, len(data), 77):
            stream.sendall(data[at : at + 77])
        answers.append(receive(stream, 4 * len(packets)))

    thread = client(work)
    size = len(packets[0])
    link.take(len(packets), size, size - 10 - 2)
    thread.join(10)
    assert answers == [b"".join(b"\x40\x02" + n.to_bytes(2, "big") for n in range(1, 301))]


def test_a_client_that_leaves_is_an_error(pair):
    link, stream = pair
    stream.close()
    with pytest.raises(EOFError, match="closed"):
        link.take(1, 10, None)


def test_over_tls_each_packet_is_a_record_and_the_certificate_is_good(tmp_path):
    certify(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    peer = Peer(server)
    trusting = ssl.create_default_context(cadata=(tmp_path / "ca.der").read_bytes())
    packets = [publish_packet(0, 100) for _ in range(20)]
    reads = []

    def work():
        with socket.create_connection(("127.0.0.1", peer.port), timeout=10) as plain:
            stream = trusting.wrap_socket(plain, server_hostname="localhost")
            stream.sendall(b"\x10\x0f\0\x04MQTT\4\2\0\0\0\3abc")
            assert stream.recv(100) == b"\x20\x02\0\0"
            while sum(map(len, reads)) < sum(map(len, packets)):
                reads.append(stream.recv(65536))
            stream.sendall(DONE)

    thread = client(work)
    link = peer.accept(subscribes=False)
    link.flood(packets, len(DONE))
    thread.join(10)
    link.close()
    peer.close()
    assert reads == packets

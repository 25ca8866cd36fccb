"""Tests the MQTT client at a broker that hangs up at some messages, as at too large ones."""

import asyncio
import unittest

from fakes import FakeStream, run, until
from test_mqtt import CONNACK, Peer

from mqboard.mqtt import packet

BAD = b"bad"


class PickyStream(FakeStream):
    """The end of a broker that acknowledges each PUBLISH, and hangs up at BAD payloads.

    `mute`: what it acknowledged on this connection gets lost on the way, as with a TCP reset.
    """

    def __init__(self, peer):
        super().__init__()
        self.peer = peer
        self.acks = b""

    def write(self, view):
        count = super().write(view)
        data = bytes(view)
        if data[0] & 0xF0 == packet.PUBLISH and not self.eof:
            qos = data[0] >> 1 & 3
            payload = data[7:] if qos else data[5:]  # the topic is one byte
            if payload == BAD:
                self.incoming.extend(b"" if self.peer.mute else self.acks)
                self.end()
            elif qos:
                self.peer.taken.append(payload)
                self.acks += bytes((packet.PUBACK, 2)) + data[5:7]
                if not self.peer.mute or len(self.peer.streams) > 1:
                    self.feed(self.acks)
                    self.acks = b""
        return count


class PickyPeer(Peer):
    """A broker made of PickyStreams."""

    def __init__(self, **options):
        super().__init__(**options)
        self.taken = []
        self.mute = False  # on the first connection

    async def open(self):
        stream = PickyStream(self)
        stream.feed(CONNACK)
        self.streams.append(stream)
        return stream


class RefusedTest(unittest.TestCase):
    def test_a_message_at_which_the_broker_hangs_up_three_times_is_given_up(self):
        async def go():
            peer = PickyPeer()
            await peer.start()
            self.assertFalse(await peer.client.publish("t", BAD, qos=1))
            self.assertEqual((peer.client.refused, len(peer.client.outbox.waiting)), (1, 0))
            said = "given up: a message of 3 bytes to t, at which the broker hangs up"
            self.assertTrue(said in peer.log.lines)
            self.assertTrue(await peer.client.publish("t", b"good", qos=1))
            self.assertEqual(len(peer.streams), 4)

        run(go())

    def test_so_it_is_at_qos_2(self):
        async def go():
            peer = PickyPeer()
            await peer.start()
            self.assertFalse(await peer.client.publish("t", BAD, qos=2))
            await peer.client.up.wait()
            self.assertEqual((peer.client.refused, len(peer.streams)), (1, 4))

        run(go())

    def test_innocent_messages_in_its_window_are_kept_and_arrive_in_order(self):
        for mute in (False, True):
            for place in range(5):
                payloads = [b"%d" % number for number in range(5)]
                payloads.insert(place, BAD)
                run(self.in_a_window(payloads, mute))

    async def in_a_window(self, payloads, mute):
        peer = PickyPeer()
        peer.mute = mute
        await peer.start()
        async with peer.client.window(8) as window:
            for payload in payloads:
                await window.publish("t", payload)
        self.assertEqual(peer.client.refused, 1)
        payloads.remove(BAD)
        for payload in peer.taken[: -len(payloads)] if mute else ():
            self.assertTrue(payload in payloads)  # these came twice, their acknowledgements lost
        self.assertEqual(peer.taken[-len(payloads) :], payloads)

    def test_two_of_them_are_found_one_after_the_other(self):
        async def go():
            peer = PickyPeer()
            await peer.start()
            tasks = [
                asyncio.create_task(peer.client.publish("t", payload, qos=1))
                for payload in (BAD, b"1", BAD, b"2")
            ]
            self.assertEqual(await asyncio.gather(*tasks), [False, True, False, True])
            self.assertEqual((peer.client.refused, peer.taken), (2, [b"1", b"2"]))

        run(go())

    def test_a_message_at_qos_0_that_is_to_blame_costs_no_other(self):
        async def go():
            peer = PickyPeer()
            peer.client.on_up = lambda: peer.client.publish_now("t", BAD)
            peer.mute = True
            await peer.start()
            for number in range(5):
                self.assertTrue(await peer.client.publish("t", b"%d" % number, qos=1))
            self.assertEqual(peer.client.refused, 0)

        run(go())

    def test_links_that_die_otherwise_are_not_its_fault(self):
        async def go():
            peer = Peer()
            await peer.start()
            task = asyncio.create_task(peer.client.publish("t", b"good", qos=1))
            for count in range(1, 6):
                await until(lambda n=count: len(peer.streams) == n and len(peer.stream.writes) > 1)
                peer.stream.feed(b"\xf0\0")  # no packet
            await until(lambda: len(peer.streams) == 6 and len(peer.stream.writes) > 1)
            peer.stream.feed(bytes((packet.PUBACK, 2)) + bytes(peer.stream.writes[1][5:7]))
            self.assertTrue(await task)

        run(go())

    def test_after_two_hang_ups_messages_go_alone_and_nothing_else_does(self):
        async def go():
            peer = Peer()
            await peer.start()
            tasks = [asyncio.create_task(peer.client.publish("t", b"x", qos=1)) for _ in range(2)]
            for count in (1, 2):
                await until(lambda n=count: len(peer.streams) == n and len(peer.stream.writes) == 3)
                peer.stream.end()
            await until(lambda: len(peer.streams) == 3 and len(peer.stream.writes) == 2)
            self.assertFalse(peer.client.up.is_set())
            self.assertFalse(await peer.client.publish("t", b"not now"))
            peer.stream.feed(bytes((packet.PUBACK, 2)) + bytes(peer.stream.writes[1][5:7]))
            await until(lambda: len(peer.stream.writes) == 3)
            peer.stream.feed(bytes((packet.PUBACK, 2)) + bytes(peer.stream.writes[2][5:7]))
            await peer.client.up.wait()
            self.assertEqual(await asyncio.gather(*tasks), [True, True])

        run(go())

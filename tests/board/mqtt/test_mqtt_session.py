"""Tests what the MQTT client keeps over connections, and the ways to be given messages."""

import asyncio
import unittest

from fakes import run, until
from test_mqtt import CONNACK, Peer, publish

from mqboard.mqtt import packet

KEPT = b"\x20\x02\x01\x00"  # a CONNACK with session present


class SessionPeer(Peer):
    """A Peer that looks at what came after the CONNECT."""

    async def again(self, answers=KEPT):
        """Break the connection with what is no packet, and wait for the next one."""
        count = len(self.streams)
        self.answers = answers
        self.stream.feed(b"\xf0\x00")
        await until(lambda: len(self.streams) == count + 1)
        await self.client.up.wait()

    async def writes(self, count):
        """Return the first `count` packets after CONNECT on this connection."""
        await until(lambda: len(self.stream.writes) > count)
        return self.stream.writes[1 : 1 + count]

    def publishing(self, qos, payload=b"hi"):
        return asyncio.create_task(self.client.publish("t", payload, qos=qos))


class OutgoingTest(unittest.TestCase):
    def test_what_is_no_payload_is_refused_before_it_breaks_each_connection(self):
        async def go():
            peer = SessionPeer()
            for payload in ("text", 5, None, [1]):
                with self.assertRaises(TypeError):
                    await peer.client.publish("t", payload, qos=1)
            await peer.start()
            self.assertEqual(len(peer.client.outbox.waiting), 0)

        run(go())

    def test_a_link_that_dies_while_the_session_is_restored_is_given_up(self):
        async def go():
            peer = SessionPeer()
            peer.client.keepalive = 0.2
            await peer.start()
            task = peer.publishing(1, bytes(5000))
            await until(lambda: peer.stream.sent[-9:] == bytes(9))
            peer.room = 1000
            peer.stream.end()
            await until(lambda: len(peer.streams) == 3)
            self.assertTrue(any(["silent" in line for line in peer.log.lines]))
            task.cancel()

        run(go())

    def test_qos_2_takes_its_two_round_trips(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            task = peer.publishing(2)
            (sent,) = await peer.writes(1)
            self.assertEqual(sent[0], 0x34)
            ident = sent[5:7]
            peer.stream.feed(b"\x70\x02" + ident)  # early: means nothing yet
            peer.stream.feed(b"\x50\x02" + ident)
            self.assertEqual((await peer.writes(2))[1], b"\x62\x02" + ident)
            peer.stream.feed(b"\x40\x02" + ident)  # an acknowledgement of another kind
            await asyncio.sleep(0.01)
            self.assertFalse(task.done())
            peer.stream.feed(b"\x70\x02" + ident)
            self.assertTrue(await task)
            peer.stream.feed(b"\x70\x02" + ident)  # late
            peer.stream.feed(b"\x50\x02" + ident)  # unknown by now: the broker waits all the same
            self.assertEqual((await peer.writes(3))[2], b"\x62\x02" + ident)

        run(go())

    def test_a_kept_session_goes_on_where_it_was(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            tasks = []
            for qos in (1, 2, 2):
                tasks.append(peer.publishing(qos))
                await peer.writes(len(tasks))
            sent = await peer.writes(3)
            peer.stream.feed(b"\x50\x02" + sent[2][5:7])
            await peer.writes(4)
            await peer.again()
            first, second, third = await peer.writes(3)
            self.assertEqual(first, b"\x3a" + sent[0][1:])
            self.assertEqual(second, b"\x3c" + sent[1][1:])
            self.assertEqual(third, b"\x62\x02" + sent[2][5:7])
            peer.stream.feed(b"\x40\x02" + sent[0][5:7] + b"\x50\x02" + sent[1][5:7])
            peer.stream.feed(b"\x70\x02" + sent[2][5:7])
            await peer.writes(4)
            peer.stream.feed(b"\x70\x02" + sent[1][5:7])
            for task in tasks:
                self.assertTrue(await task)

        run(go())

    def test_without_a_session_messages_are_published_anew_in_their_order(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            tasks = []
            for number in range(4):
                tasks.append(peer.publishing(1 + number % 2, b"%d" % number))
                await peer.writes(1 + number)
            peer.stream.feed(b"\x50\x02" + (await peer.writes(4))[1][5:7])
            await peer.writes(5)
            await peer.again(CONNACK)
            sent = await peer.writes(4)
            self.assertEqual([data[0] for data in sent], [0x32, 0x34, 0x32, 0x34])
            self.assertEqual([data[-1:] for data in sent], [b"0", b"1", b"2", b"3"])
            for task in tasks:
                task.cancel()

        run(go())

    def test_messages_published_without_a_connection_wait_for_one(self):
        async def go():
            peer = SessionPeer()
            early = peer.publishing(1)
            await asyncio.sleep(0)
            await peer.start()
            (sent,) = await peer.writes(1)
            self.assertEqual(sent[0], 0x32)
            peer.stream.feed(b"\x40\x02" + sent[5:7])
            self.assertTrue(await early)

        run(go())

    def test_a_publish_that_times_out_is_given_up(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            with self.assertRaises(asyncio.TimeoutError):
                await peer.client.publish("t", b"x", qos=1, timeout=0.05)
            await peer.again()
            await asyncio.sleep(0.02)
            self.assertEqual(len(peer.stream.writes), 1)

        run(go())

    def test_topics_that_are_none_and_payloads_that_are_too_much(self):
        async def go():
            client = Peer().client
            for topic in ("", "a/+", "#", "nul\0"):
                for qos in (0, 1):
                    with self.assertRaises(packet.PacketError):
                        await client.publish(topic, b"", qos=qos, timeout=1)
            with self.assertRaises(ValueError):
                await client.publish("t", b"", qos=3)

        run(go())

    def test_a_window_holds_so_many_and_waits_for_all_at_its_end(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            done = []

            async def send():
                async with peer.client.window(2) as window:
                    for number in range(5):
                        await window.publish("t", b"%d" % number)
                    done.append("sent")
                done.append("acknowledged")

            task = asyncio.create_task(send())
            for number in range(5):
                sent = await peer.writes(min(5, number + 2))
                await asyncio.sleep(0.005)
                self.assertEqual(len(peer.stream.writes), 1 + min(5, number + 2))
                self.assertEqual(done, ["sent"] if number >= 3 else [])
                peer.stream.feed(b"\x40\x02" + sent[number][5:7])
            await task
            self.assertEqual(done, ["sent", "acknowledged"])

        run(go())


class IncomingTest(unittest.TestCase):
    def test_qos_2_is_delivered_once(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            await peer.subscribed()
            peer.stream.feed(publish(b"a", b"1", 2, 7))
            self.assertEqual((await peer.writes(2))[1], b"\x50\x02\x00\x07")
            peer.stream.feed(publish(b"a", b"1", 2, 7, 8))
            await peer.writes(3)
            await peer.again()
            peer.stream.feed(publish(b"a", b"1", 2, 7, 8))
            await peer.writes(1)
            self.assertEqual(peer.got, [("a", b"1", False)])
            peer.stream.feed(b"\x62\x02\x00\x07")
            self.assertEqual((await peer.writes(2))[1], b"\x70\x02\x00\x07")
            peer.stream.feed(publish(b"a", b"2", 2, 7))  # the id is free again
            await until(lambda: len(peer.got) == 2)
            peer.stream.feed(b"\x62\x02\x00\x09")  # unknown
            self.assertEqual((await peer.writes(4))[3], b"\x70\x02\x00\x09")

        run(go())

    def test_every_subscription_that_matches_gets_the_message(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            await peer.subscribed("a/#")
            await peer.subscribed("a/+")
            peer.stream.feed(publish(b"a/b", b"x") + publish(b"b", b"y"))
            await until(lambda: len(peer.got) == 2)
            other = []
            peer.client.unmatched = lambda topic, payload, retained: other.append(topic)
            peer.stream.feed(publish(b"c", b""))
            await until(lambda: other)
            self.assertEqual(len(peer.got), 2)

        run(go())

    def test_a_payload_of_any_size_comes_as_a_stream(self):
        async def go():
            peer = SessionPeer(rx_size=256)
            await peer.start()
            pieces = []

            def take(topic, view, retained, position, total):
                pieces.append((topic, bytes(view), position, total))

            task = asyncio.create_task(peer.client.subscribe("big", take, 2, stream=True))
            sent = (await peer.writes(1))[0]
            peer.stream.feed(b"\x90\x03" + sent[2:4] + b"\x02")
            await task
            for size in (0, 5, 300, 3000):
                data = bytes([n * 7 & 255 for n in range(size)])
                peer.stream.feed(publish(b"big", data, 2, 5) + b"\x62\x02\x00\x05")
                await until(
                    lambda size=size: pieces and sum([len(p[1]) for p in pieces]) == size,
                )
                position = 0
                for topic, piece, at, total in pieces:
                    self.assertEqual((topic, at, total), ("big", position, size))
                    self.assertEqual(piece, data[at : at + len(piece)])
                    position += len(piece)
                pieces.clear()
            self.assertEqual(peer.client.oversized, 0)

        run(go())

    def test_a_handler_that_asks_for_it_lets_others_run_before_the_next_message(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            order = []

            def handler(topic, payload, retained):
                order.append(bytes(payload))
                return True

            async def other():
                while len(order) < 9:
                    order.append("other")
                    await asyncio.sleep(0)

            task = asyncio.create_task(peer.client.subscribe("a", handler))
            sent = (await peer.writes(1))[0]
            peer.stream.feed(b"\x90\x03" + sent[2:4] + b"\x01")
            await task
            turns = asyncio.create_task(other())
            peer.stream.feed(b"".join([publish(b"a", b"%d" % n, 1, n + 1) for n in range(4)]))
            await turns
            for number in range(3):
                between = order[order.index(b"%d" % number) + 1 : order.index(b"%d" % (number + 1))]
                self.assertTrue("other" in between)
            await until(lambda: b"".join(peer.stream.writes).count(b"\x40\x02\x00") == 4)

        run(go())

    def test_a_coroutine_handler_gets_copies_and_may_publish(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            got = []

            async def handler(topic, payload, retained):
                await peer.client.publish("t", payload, qos=1)
                got.append(payload)

            task = asyncio.create_task(peer.client.subscribe("a", handler, limit=2))
            sent = (await peer.writes(1))[0]
            peer.stream.feed(b"\x90\x03" + sent[2:4] + b"\x01")
            await task
            peer.stream.feed(publish(b"a", b"1") + publish(b"a", b"2"))
            first = (await peer.writes(2))[1]
            peer.stream.feed(publish(b"a", b"3") + publish(b"a", b"4") + publish(b"a", b"5"))
            await until(lambda: peer.client.overflowed == 2)
            peer.stream.feed(b"\x40\x02" + first[5:7])
            for count in (3, 4):
                sent = (await peer.writes(count))[-1]
                peer.stream.feed(b"\x40\x02" + sent[5:7])
            await until(lambda: len(got) == 3)
            self.assertEqual(got, [b"1", b"4", b"5"])
            peer.task.cancel()

        run(go())

    def test_messages_come_as_an_iterator(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            got = []

            async def read():
                async with peer.client.messages("a/#") as messages:
                    async for topic, payload, retained in messages:
                        got.append((topic, payload, retained))
                        if len(got) == 3:
                            break

            task = asyncio.create_task(read())
            sent = (await peer.writes(1))[0]
            peer.stream.feed(b"\x90\x03" + sent[2:4] + b"\x01")
            for number in range(3):
                peer.stream.feed(publish(b"a/%d" % number, b"x", flags=1))
            sent = (await peer.writes(2))[1]
            self.assertEqual(sent[0], 0xA2)
            peer.stream.feed(b"\xb0\x02" + sent[2:4])
            await task
            self.assertEqual(got, [("a/%d" % number, b"x", True) for number in range(3)])

        run(go())

    def test_a_filter_given_up_without_a_connection_is_unsubscribed_from_a_kept_session(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            await peer.subscribed("a")
            peer.client.backoff_ms = 200
            peer.answers = KEPT
            peer.stream.end()
            await peer.client.down.wait()
            await peer.client.unsubscribe("a")
            await until(lambda: len(peer.streams) == 2)
            (sent,) = await peer.writes(1)
            self.assertEqual(sent[0], 0xA2)
            peer.stream.feed(b"\xb0\x02" + sent[2:4])
            await peer.client.up.wait()
            peer.stream.feed(publish(b"a", b""))
            await asyncio.sleep(0.01)
            self.assertEqual(peer.got, [])

        run(go())

    def test_async_with_runs_the_client_and_says_goodbye(self):
        async def go():
            peer = SessionPeer()
            async with peer.client as client:
                await client.up.wait()
                stream = peer.stream
            self.assertEqual(stream.writes[-1], b"\xe0\x00")
            self.assertTrue(stream.closed)
            self.assertFalse(peer.client.connected)

        run(go())

    def test_an_on_up_that_raises_costs_no_connection(self):
        async def go():
            peer = SessionPeer()

            def fail():
                raise ValueError("no")

            peer.client.on_up = fail
            await peer.start()
            await until(lambda: peer.client.failed == 1)
            self.assertTrue(peer.client.connected)
            self.assertEqual(len(peer.streams), 1)

        run(go())

    def test_a_blocked_event_loop_is_not_a_dead_link(self):
        async def go():
            peer = SessionPeer()
            peer.client.keepalive = 0.2
            await peer.start()
            started = peer.client.reader.last_rx
            peer.client.reader.last_rx = started - 10_000
            peer.client._keep_alive(50, 9_000)
            self.assertTrue(peer.client.connected)
            peer.client.reader.last_rx = started - 10_000
            peer.client._keep_alive(50, 1)
            self.assertFalse(peer.client.connected)

        run(go())

    def test_coroutine_handlers_come_and_go_and_leave_nothing(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            got = []

            async def handler(topic, payload, retained):
                got.append(payload)

            for number in range(1, 6):
                await self.answered(peer, peer.client.subscribe("a", handler), 0x90)
                peer.stream.feed(publish(b"a", b"%d" % number))
                await until(lambda number=number: len(got) == number)
                if number % 2:
                    await self.answered(peer, peer.client.unsubscribe("a"), 0xB0)
            self.assertTrue(len(peer.client._tasks) <= 2)

        run(go())

    async def answered(self, peer, coroutine, kind):
        before = len(peer.stream.sent)
        task = asyncio.create_task(coroutine)
        await until(lambda: len(peer.stream.sent) > before)
        packet_id = bytes(peer.stream.sent[before + 2 : before + 4])
        end = b"\x01" if kind == 0x90 else b""
        peer.stream.feed(bytes((kind, 2 + len(end))) + packet_id + end)
        await task

    def test_a_client_that_runs_again_feeds_its_coroutine_handlers(self):
        async def go():
            peer = SessionPeer()
            got = []

            async def handler(topic, payload, retained):
                got.append(payload)

            await peer.client.subscribe("a", handler)
            for number in range(1, 4):
                async with peer.client:
                    await until(lambda number=number: len(peer.streams) == number)
                    await until(lambda: len(peer.stream.writes) == 2)
                    peer.stream.feed(b"\x90\x03\x00" + bytes((number,)) + b"\x01")
                    await peer.client.up.wait()
                    peer.stream.feed(publish(b"a", b"x"))
                    await until(lambda number=number: len(got) == number)

        run(go())

    def test_what_is_given_up_before_it_is_begun_is_not_sent(self):
        async def go():
            peer = SessionPeer()
            await peer.start()
            before = len(peer.stream.sent)
            peer.stream.room = 0
            for number in range(10):
                try:
                    await peer.client.publish(
                        "t", b"%d" % number * 2000, qos=number % 2, timeout=0.01
                    )
                except asyncio.TimeoutError:  # noqa: UP041 (another one on MicroPython)
                    continue
                raise AssertionError("published into a full socket")
            peer.stream.drain()
            await peer.client.publish("t", b"now")
            wanted = publish(b"t", b"0" * 2000) + publish(b"t", b"now")
            self.assertEqual(bytes(peer.stream.sent[before:]), wanted)

        run(go())


if __name__ == "__main__":
    unittest.main()

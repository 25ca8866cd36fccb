"""Tests what serves a connection for code that lets nobody else run."""

import asyncio
import unittest

from fakes import run, until
from test_mqtt import Peer, publish

from mqboard.clock import ticks_ms
from mqboard.mqtt.pump import Pump


async def connected(**options):
    """Return a Peer whose client hears t, with `heard`, and a Pump for it."""
    peer = Peer(**options)
    await peer.start()
    peer.heard = []
    peer.handler = lambda topic, view, retained: peer.heard.append(bytes(view))
    await peer.subscribed("t")
    peer.pump = Pump(peer.client)
    return peer


class PumpTest(unittest.TestCase):
    def test_a_look_takes_nothing_and_what_it_read_is_taken_once(self):
        async def go():
            peer = await connected()
            data = publish(b"t", b"one") + publish(b"t", b"two", 1, 7) + publish(b"t", b"three")
            for end in range(len(data) + 1):
                peer.heard.clear()
                before = len(peer.stream.sent)
                seen = []
                # Nobody else runs: what has come stays in the socket, then in the buffer.
                peer.stream.incoming.extend(data[:end])
                peer.pump.peek(lambda topic, view, seen=seen: seen.append(bytes(view)))
                self.assertEqual(peer.heard, [])
                whole = [b"one", b"two", b"three"][: len(seen)]
                self.assertEqual(seen, whole)
                again = []
                peer.pump.peek(lambda topic, view, again=again: again.append(bytes(topic)))
                self.assertEqual(again, [b"t"] * len(seen))
                peer.pump.take(0)
                self.assertEqual(peer.heard, whole)
                peer.stream.feed(data[end:])
                await until(lambda: len(peer.heard) == 3)
                self.assertEqual(peer.heard, [b"one", b"two", b"three"])
                self.assertEqual(peer.client.reader.end, 0)
                await until(lambda before=before: len(peer.stream.sent) > before)
                self.assertEqual(peer.stream.sent[before:], b"\x40\x02\x00\x07")

        run(go())

    def test_what_it_takes_is_acknowledged_at_once(self):
        async def go():
            peer = await connected()
            before = len(peer.stream.sent)
            peer.stream.incoming.extend(publish(b"t", b"one", 1, 5) + publish(b"t", b"two", 1, 6))
            peer.pump.take(0)
            self.assertEqual(peer.stream.sent[before:], b"\x40\x02\x00\x05\x40\x02\x00\x06")
            # And not once more, when the reader comes to it.
            peer.stream.feed(publish(b"t", b"three", 1, 7))
            await until(lambda: len(peer.heard) == 3)
            await until(lambda: peer.stream.sent[-1] == 7)
            self.assertEqual(len(peer.stream.sent), before + 12)

        run(go())

    def test_a_handler_that_wants_a_turn_for_others_stops_it(self):
        async def go():
            peer = await connected()

            def hear(topic, view, retained):
                peer.heard.append(bytes(view))
                return True

            peer.handler = hear
            await peer.subscribed("t")
            peer.stream.incoming.extend(publish(b"t", b"one") + publish(b"t", b"two"))
            peer.pump.take(0)
            self.assertEqual(peer.heard, [b"one"])
            peer.pump.take(0)
            self.assertEqual(peer.heard, [b"one", b"two"])

        run(go())

    def test_a_ping_is_sent_when_it_is_due(self):
        async def go():
            peer = await connected(keepalive=60)
            before = len(peer.stream.sent)
            peer.pump.ping()
            self.assertEqual(len(peer.stream.sent), before)
            peer.client.writer.last_tx = ticks_ms() - 30_000
            peer.pump.ping()
            self.assertEqual(peer.stream.sent[before:], b"\xc0\x00")
            # Not behind a packet that is half out.
            peer.client.writer.last_tx = ticks_ms() - 30_000
            peer.stream.room = 5
            task = asyncio.create_task(peer.client.publish("t", b"12345678"))
            await until(lambda: peer.stream.room == 0)
            before = len(peer.stream.sent)
            peer.client.writer.last_tx = ticks_ms() - 30_000
            peer.pump.ping()
            self.assertFalse(peer.pump.at_rest())
            peer.stream.drain()
            await task
            self.assertTrue(peer.stream.sent.endswith(b"12345678"))

        run(go())

    def test_what_it_publishes_is_a_message_like_any_other(self):
        async def go():
            peer = await connected()
            for size in (0, 1, 124, 125, 1400):
                before = len(peer.stream.sent)
                self.assertTrue(peer.pump.at_rest())
                peer.pump.publish("t", b"x" * size)
                self.assertEqual(bytes(peer.stream.sent[before:]), publish(b"t", b"x" * size))

        run(go())

    def test_what_the_socket_does_not_take_at_once_is_written_later(self):
        async def go():
            peer = await connected()
            before = len(peer.stream.sent)
            peer.stream.room = 100
            peer.pump.publish("t", b"x" * 1400)
            self.assertFalse(peer.pump.at_rest())
            draining = asyncio.create_task(peer.pump.drain())
            second = asyncio.create_task(peer.pump.drain())
            await asyncio.sleep(0)
            peer.stream.drain()
            await draining
            await second
            self.assertTrue(peer.pump.at_rest())
            self.assertEqual(bytes(peer.stream.sent[before:]), publish(b"t", b"x" * 1400))

        run(go())

    def test_a_connection_that_breaks_is_given_up(self):
        async def go():
            peer = await connected()
            peer.stream.incoming.extend(b"\xf0\x00")
            peer.pump.take(0)
            self.assertFalse(peer.client.connected)
            peer.pump.take(0)
            peer.pump.peek(None)
            await peer.pump.drain()
            self.assertFalse(peer.pump.at_rest())

        run(go())

    def test_what_came_before_the_end_of_the_stream_is_taken(self):
        async def go():
            peer = await connected()
            peer.stream.incoming.extend(publish(b"t", b"last"))
            peer.stream.eof = True
            peer.pump.take(0)
            self.assertTrue(peer.client.connected)
            peer.pump.take(0)
            self.assertEqual(peer.heard, [b"last"])
            self.assertFalse(peer.client.connected)

        run(go())


if __name__ == "__main__":
    unittest.main()

"""Tests that a Line carries messages once and in order over a wire that loses, turns and delays."""

import random
import unittest

import mqlink


class Wire:
    """Two Lines and the bytes between them, with a clock of its own in milliseconds.

    A byte is lost or turned with the chance `loss` or `turn`, and takes `delay` ms. What the Lines
    are told of the clock begins anew after each `period`.
    """

    def __init__(self, loss=0.0, turn=0.0, delay=1, seed=1, period=1 << 30, **options):
        self.now = 0
        self.period = period
        self.loss, self.turn, self.delay = loss, turn, delay
        random.seed(seed)
        self.got = ([], [])
        self.ups = [0, 0]
        self.downs = [0, 0]
        self.options = options
        self.ends = [None, None]
        self.flying = []  # (when, to whom, bytes)
        for index in (0, 1):
            self.start(index)

    def start(self, index):
        """Start one end, or start it anew: it knows nothing of before."""
        line = mqlink.Line("end %d" % index, **self.options)
        line._begin(self.now)
        line.on_message = lambda channel, data: self.got[index].append((channel, bytes(data)))

        def on_up():
            self.ups[index] += 1

        def on_down():
            self.downs[index] += 1

        line.on_up, line.on_down = on_up, on_down
        self.ends[index] = line
        return line

    def spoil(self, data):
        if not self.loss and not self.turn:
            return data
        result = bytearray()
        for byte in data:
            if random.random() < self.loss:
                continue
            if random.random() < self.turn:
                byte ^= 1 << random.randrange(8)
            result.append(byte)
        return bytes(result)

    def step(self, ms=5):
        """Let time pass."""
        self.now += ms
        while self.flying and self.flying[0][0] <= self.now:
            _, index, data = self.flying.pop(0)
            self.ends[index].receive(data, self.now % self.period)
        for index in (0, 1):
            while True:
                frame = self.ends[index].transmit(self.now % self.period)
                if not frame:
                    break
                self.flying.append((self.now + self.delay, 1 - index, self.spoil(frame)))

    def until(self, condition, limit=200_000):
        while not condition():
            self.step()
            if self.now >= limit:
                raise AssertionError("it did not happen in %d ms" % limit)

    def meet(self):
        self.until(lambda: self.ends[0].up and self.ends[1].up)


def numbered(count, size=40):
    return [
        (mqlink.CONTROL, b"%d " % number + bytes(number & 127 for _ in range(size)))
        for number in range(count)
    ]


class TestLine(unittest.TestCase):
    def exchange(self, wire, count=150):
        """Send so many messages each way, as fast as the window lets them; all must arrive."""
        wire.meet()
        messages = numbered(count)
        sent = [0, 0]

        def feed():
            for index in (0, 1):
                line = wire.ends[index]
                while sent[index] < count and len(line._queue) < 8:
                    line.send(*messages[sent[index]])
                    sent[index] += 1
            return len(wire.got[0]) >= count and len(wire.got[1]) >= count

        wire.until(feed, 2_000_000)
        for _ in range(400):
            wire.step()
        self.assertEqual(wire.got[0], messages)
        self.assertEqual(wire.got[1], messages)
        self.assertEqual(wire.downs, [0, 0])

    def test_a_good_wire_repeats_nothing(self):
        wire = Wire()
        self.exchange(wire)
        self.assertEqual([end.repeated for end in wire.ends], [0, 0])
        self.assertEqual([end.errors for end in wire.ends], [0, 0])
        self.assertEqual(wire.ends[0].peer, "end 1")

    def test_bytes_that_get_lost_are_mended(self):
        wire = Wire(loss=0.003, seed=3)
        self.exchange(wire)
        self.assertTrue(wire.ends[0].errors and wire.ends[0].repeated)

    def test_bytes_that_are_turned_are_mended(self):
        wire = Wire(turn=0.003, seed=4)
        self.exchange(wire)
        self.assertTrue(wire.ends[0].errors and wire.ends[0].repeated)

    def test_a_wire_that_delays_carries_all_the_same(self):
        for delay in (50, 700, 2500):
            self.exchange(Wire(delay=delay), 60)

    def test_all_at_once(self):
        self.exchange(Wire(loss=0.002, turn=0.002, delay=120, seed=5))

    def test_a_long_message_comes_whole(self):
        wire = Wire(loss=0.002)
        wire.meet()
        long = bytes(range(256)) * 12
        wire.ends[0].send(mqlink.CONTROL, long)
        wire.ends[0].send(mqlink.CONTROL, b"")
        wire.until(lambda: len(wire.got[1]) == 2)
        self.assertEqual(wire.got[1], [(mqlink.CONTROL, long), (mqlink.CONTROL, b"")])

    def test_bytes_that_wait_go_together_and_none_is_lost(self):
        wire = Wire(loss=0.002, delay=40, seed=6)
        wire.meet()
        for number in range(200):
            wire.ends[0].send(mqlink.BYTES, b"%d," % number)
        wanted = b"".join([b"%d," % number for number in range(200)])
        wire.until(lambda: len(b"".join([data for _, data in wire.got[1]])) >= len(wanted))
        self.assertEqual(b"".join([data for _, data in wire.got[1]]), wanted)
        self.assertTrue(len(wire.got[1]) < 10)

    def test_bytes_that_are_flags_and_escapes_come_as_they_are(self):
        wire = Wire()
        wire.meet()
        for data in (b"\x7e", b"\x7d", b"\x7d\x5e\x7e\x5d\x7d\x7d\x7e\x7e", b"\x00\xff" * 20):
            wire.got[1].clear()
            wire.ends[0].send(mqlink.BYTES, data)
            wire.until(lambda: wire.got[1])
            self.assertEqual(wire.got[1][0][1], data)

    def start_anew(self, index):
        wire = Wire()
        wire.meet()
        wire.ends[1 - index].send(mqlink.BYTES, b"before")
        wire.start(index)
        wire.until(lambda: wire.downs[1 - index])
        wire.meet()
        wire.ends[1 - index].send(mqlink.BYTES, b"after")
        wire.until(lambda: wire.got[index])
        self.assertEqual(wire.got[index], [(mqlink.BYTES, b"after")])
        self.assertEqual(wire.ups[1 - index], 2)

    def test_a_new_start_of_either_end_is_noticed_and_told(self):
        self.start_anew(0)
        self.start_anew(1)

    def test_what_was_on_its_way_in_an_earlier_session_is_not_taken(self):
        wire = Wire(delay=200)
        wire.meet()
        wire.ends[0].send(mqlink.BYTES, b"old")
        wire.step()  # it is on the wire
        wire.start(1)
        wire.meet()
        for _ in range(400):
            wire.step()
        self.assertEqual(wire.got[1], [])

    def test_silence_ends_the_line_and_a_wire_that_is_back_begins_it_anew(self):
        wire = Wire(silence_ms=3000)
        wire.meet()
        wire.loss = 1.0
        wire.until(lambda: wire.downs == [1, 1], 20_000)
        wire.loss = 0.0
        wire.meet()
        wire.ends[0].send(mqlink.BYTES, b"again")
        wire.until(lambda: wire.got[1])

    def test_a_line_with_nothing_to_say_stays(self):
        wire = Wire()
        wire.meet()
        wire.until(lambda: wire.now > 60_000)
        self.assertEqual(wire.downs, [0, 0])

    def test_a_pause_after_long_talk_is_none_though_the_ticks_have_wrapped(self):
        period = 1 << 16  # a board's have 2 ** 30
        real = mqlink.ticks_diff
        mqlink.ticks_diff = lambda end, start: (end - start + period // 2) % period - period // 2
        try:
            wire = Wire(period=period)
            wire.meet()
            for _ in range(period * 2 // 3 // 500):  # more than half of them: without a question
                wire.ends[0].send(mqlink.CONTROL, b"talk")
                wire.step(500)
            pause = wire.now
            wire.until(lambda: wire.now > pause + 25_000)
        finally:
            mqlink.ticks_diff = real
        self.assertEqual(wire.downs, [0, 0])

    def test_another_version_is_refused_with_both_numbers(self):
        line = Wire().ends[0]
        other = mqlink.Line("of the future")
        frame = other.transmit(0)
        old, mqlink.OLDEST, mqlink.VERSION = mqlink.VERSION, 9, 9
        try:
            line.receive(frame, 0)
        finally:
            mqlink.OLDEST = mqlink.VERSION = old
        self.assertFalse(line.up)
        self.assertEqual(line.incompatible, "the other end speaks version 1, and we 9")

    def test_an_echo_is_no_other_end(self):
        line = mqlink.Line("alone")
        for now in range(0, 5000, 100):
            line.receive(line.transmit(now), now)
        self.assertFalse(line.up)

    def test_noise_without_end_takes_no_memory(self):
        line = mqlink.Line("patient")
        for now in range(200):
            line.receive(bytes(byte for byte in range(125)) * 2, now)
        self.assertTrue(len(line._rest) < 1000)
        self.assertTrue(line.errors)

    def test_a_message_without_end_begins_the_line_anew(self):
        wire = Wire()
        wire.meet()
        wire.ends[0].send(mqlink.CONTROL, bytes(5000))
        wire.until(lambda: wire.downs[1])
        self.assertEqual(wire.got[1], [])
        wire.meet()


if __name__ == "__main__":
    unittest.main()

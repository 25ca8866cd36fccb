"""Tests MQTT packets at their boundaries."""

import unittest

from mqboard.mqtt import packet


class LengthTest(unittest.TestCase):
    def test_remaining_length_at_its_boundaries(self):
        buffer = bytearray(8)
        for value in (0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455):
            end = packet.put_length(buffer, 1, value)
            self.assertEqual(end - 1, packet.length_size(value))

    def test_too_long_a_packet_is_an_error(self):
        with self.assertRaises(packet.PacketError):
            packet.put_length(bytearray(8), 0, 268435456)


class ConnectTest(unittest.TestCase):
    def test_the_smallest_connect(self):
        self.assertEqual(
            bytes(packet.connect(packet.introduction(b"id", 60, True, None), None, None)),
            b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id",
        )

    def test_connect_with_everything(self):
        body = packet.introduction(b"id", 1, False, (b"t", b"gone", 1, True))
        data = bytes(packet.connect(body, b"u", b"p"))
        self.assertEqual(data[9], 0x80 | 0x40 | 0x20 | 0x08 | 0x04)
        self.assertEqual(data[12:], b"\x00\x02id\x00\x01t\x00\x04gone\x00\x01u\x00\x01p")
        self.assertEqual(data[1], len(data) - 2)

    def test_subscribe_and_unsubscribe(self):
        self.assertEqual(
            bytes(packet.subscribe(packet.SUBSCRIBE, 258, b"a/#", 1)),
            b"\x82\x08\x01\x02\x00\x03a/#\x01",
        )
        self.assertEqual(
            bytes(packet.subscribe(packet.UNSUBSCRIBE, 1, b"a")), b"\xa2\x05\x00\x01\x00\x01a"
        )


class MatchTest(unittest.TestCase):
    def test_filters(self):
        for topic_filter, topic, expected in (
            ("a/b", "a/b", True),
            ("a/b", "a/bc", False),
            ("a/#", "a/b/c", True),
            ("a/#", "a", True),
            ("a/#", "ab", False),
            ("#", "a/b", True),
            ("#", "$SYS/x", False),
            ("+/x", "$SYS/x", False),
            ("a/+/c", "a/b/c", True),
            ("a/+", "a/b/c", False),
            ("a/+", "a/", True),
            ("+", "a", True),
            ("a/+/#", "a/b", True),
            ("a/+/c", "a/b", False),
        ):
            self.assertEqual(packet.matches(topic_filter, topic), expected, (topic_filter, topic))


class TopicTest(unittest.TestCase):
    def test_filters_that_are_some(self):
        for good in ("#", "+", "a", "/", "a/#", "+/+/#", "a//b", "$SYS/#", "/#"):
            packet.check_filter(good)

    def test_filters_that_are_none(self):
        for bad in ("", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+/c", "a\0", "x" * 65536):
            with self.assertRaises(packet.PacketError):
                packet.check_filter(bad)


if __name__ == "__main__":
    unittest.main()

"""Tests mqwire: headers, topics, update records and flash formats, there and back."""

import unittest

import mqwire
from mqwire import flash, update


class HeaderTest(unittest.TestCase):
    def test_header_there_and_back(self):
        for sequence in (0, 1, 255, 256, 32767):
            for last in (False, True):
                if (sequence, last) != (32767, True):  # that is 0xFFFF: a single message
                    self.assertEqual(
                        mqwire.parse_header(mqwire.header(sequence, last)), (sequence, last)
                    )

    def test_ffff_is_a_single_message(self):
        self.assertEqual(mqwire.parse_header(mqwire.SINGLE + b"921"), (0, True))

    def test_a_short_payload_is_an_error(self):
        for payload in (b"", b"\x80"):
            with self.assertRaises(mqwire.WireError):
                mqwire.parse_header(payload)


class TopicTest(unittest.TestCase):
    def test_command_topic_there_and_back(self):
        topic = mqwire.command_topic("esp32/test", "put", "0F00D___", "/a/b.txt")
        self.assertEqual(topic, "esp32/test/mqb/cmd/put/0F00D___//a/b.txt")
        parsed = mqwire.parse_command_topic("esp32/test", topic)
        self.assertEqual(parsed, ("put", "0F00D___", "/a/b.txt"))

    def test_a_command_without_a_tail(self):
        topic = mqwire.command_topic("p", "eval", "12345678")
        self.assertEqual(mqwire.parse_command_topic("p", topic), ("eval", "12345678", ""))
        # The first MQBoard's tool ends the topic with a slash.
        self.assertEqual(mqwire.parse_command_topic("p", topic + "/"), ("eval", "12345678", ""))

    def test_what_is_no_command_of_ours(self):
        for topic in ("p/mqb/cmd/", "p/mqb/cmd/eval", "p/mqb/cmd//id", "q/mqb/cmd/eval/1", "p/log"):
            self.assertIsNone(mqwire.parse_command_topic("p", topic))


class UpdateTest(unittest.TestCase):
    def test_request_there_and_back(self):
        for parts in ((b"{}", b"", b"{}"), (b"x" * 5000, b"s" * 384, b'{"topic":"t"}')):
            body = update.pack_request(*parts)
            self.assertEqual([bytes(part) for part in update.unpack_request(body)], list(parts))

    def test_a_cut_request_is_an_error_at_every_byte(self):
        body = update.pack_request(b"offer", b"sig", b"{}")
        for end in range(len(body)):
            with self.assertRaises(mqwire.WireError):
                update.unpack_request(body[:end])
        with self.assertRaises(mqwire.WireError):
            update.unpack_request(body + b"x")

    def test_records_follow_each_other(self):
        message = update.pack_record(3, update.RAW, b"abc") + update.pack_record(300, 1, b"")
        self.assertEqual(update.unpack_record(message, 0), (3, update.RAW, 5, 8))
        self.assertEqual(update.unpack_record(message, 8), (300, 1, 13, 13))
        for end in list(range(1, 8)) + list(range(9, 13)):
            with self.assertRaises(mqwire.WireError):
                update.unpack_record(message[:end], 0 if end < 8 else 8)

    def test_reply_there_and_back(self):
        reply = update.pack_reply(update.RECEIVING, 16, 70000, b"\xf0")
        self.assertEqual(update.unpack_reply(reply), (0, 16, 70000 & 0xFFFF, b"\xf0"))
        with self.assertRaises(mqwire.WireError):
            update.unpack_reply(b"\x00\x00\x00")

    def test_bitmap(self):
        bitmap = bytearray(3)
        for number in (0, 7, 8, 17):
            update.bitmap_put(bitmap, number, True)
        self.assertEqual(bytes(bitmap), b"\x81\x80\x40")
        update.bitmap_put(bitmap, 7, False)
        self.assertFalse(update.bitmap_get(bitmap, 7))
        self.assertTrue(update.bitmap_get(bitmap, 17))


class FlashTest(unittest.TestCase):
    def test_otadata_record_there_and_back(self):
        record = flash.pack_otadata(7, flash.PENDING_VERIFY, 0xDEADBEEF)
        self.assertEqual(len(record), flash.OTADATA_SIZE)
        self.assertEqual(flash.unpack_otadata(record), (7, flash.PENDING_VERIFY, 0xDEADBEEF))

    def test_state_names(self):
        self.assertEqual(flash.state_name(flash.VALID), "valid")
        self.assertEqual(flash.state_name(flash.UNDEFINED), "undefined")

    def test_image_size_walks_the_segments(self):
        image = bytearray(24 + 8 + 100 + 8 + 60)
        image[0] = 0xE9
        image[1] = 2
        image[23] = 1
        image[28] = 100
        image[24 + 8 + 100 + 4] = 60

        def read(offset, size):
            return image[offset : offset + size]

        # 24 + 108 + 68 = 200, the checksum ends the row at 208, then 32 bytes of SHA-256.
        self.assertEqual(flash.image_size(read, 4096), 240)
        with self.assertRaises(mqwire.WireError):
            flash.image_size(read, 239)
        image[0] = 0xFF
        with self.assertRaises(mqwire.WireError):
            flash.image_size(read, 4096)


if __name__ == "__main__":
    unittest.main()

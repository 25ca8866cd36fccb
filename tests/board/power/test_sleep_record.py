"""Tests what is kept in RTC memory over a deep sleep."""

import unittest

from mqboard.power import record

BOX = b"MQB2" + bytes(88)


class RecordTest(unittest.TestCase):
    def test_what_is_kept_comes_back(self):
        kept = {"settled": True, "lease": [["net", "10.0.0.7", "", "", ""], 1], "vain": None}
        memory = record.joined(BOX, kept)
        self.assertEqual(memory[: len(BOX)], BOX)
        self.assertEqual(record.read(memory), kept)

    def test_half_of_it_or_a_turned_bit_is_nothing(self):
        memory = record.joined(BOX, {"settled": True})
        for end in range(len(memory)):
            self.assertIsNone(record.read(memory[:end]))
        for place in range(len(BOX), len(memory)):
            turned = bytearray(memory)
            turned[place] ^= 4
            self.assertIsNone(record.read(bytes(turned)))

    def test_what_else_lies_there_is_nothing(self):
        for memory in (b"", BOX, BOX + b"a line\n", BOX + b"a line\n\0Traceback"):
            self.assertIsNone(record.read(memory))

    def test_it_never_takes_more_than_there_is(self):
        memory = record.joined(BOX, {"lease": "x" * 4000})
        self.assertTrue(len(memory) < 2048)
        self.assertEqual(record.read(memory), {})


if __name__ == "__main__":
    unittest.main()

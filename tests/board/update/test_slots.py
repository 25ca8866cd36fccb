"""Tests what the board says of its app slots: their states in otadata, and an image's hash."""

import binascii
import hashlib
import unittest

from fakes import BLOCK, FakePartition, run

from mqboard.update import slots
from mqwire import flash


def record(sequence, state, crc=None):
    data = flash.pack_otadata(sequence, state, 0)
    good = binascii.crc32(data[:4], flash.CRC_START) & 0xFFFFFFFF
    return flash.pack_otadata(sequence, state, good if crc is None else crc)


class SlotsTest(unittest.TestCase):
    def state(self, first, second, label):
        otadata = FakePartition(2, "otadata")
        otadata.data[: len(first)] = first
        otadata.data[BLOCK : BLOCK + len(second)] = second
        return slots.state(otadata, FakePartition(1, label))

    def test_states(self):
        one = record(1, flash.VALID)
        two = record(2, flash.PENDING_VERIFY)
        self.assertEqual(self.state(b"", b"", "ota_0"), "undefined")
        self.assertEqual(self.state(one, b"", "ota_0"), "valid")
        self.assertEqual(self.state(one, b"", "ota_1"), "undefined")
        self.assertEqual(self.state(one, two, "ota_1"), "pending")
        self.assertEqual(self.state(two, one, "ota_1"), "pending")
        self.assertEqual(self.state(record(4, flash.ABORTED), one, "ota_1"), "aborted")
        self.assertEqual(self.state(record(2, flash.VALID, crc=1), b"", "ota_1"), "undefined")

    def test_image_hash_covers_exactly_the_image(self):
        image = bytearray(b"\x5a" * (3 * BLOCK))
        size = 2 * BLOCK + 48  # header, one segment, checksum row, digest
        image[0] = 0xE9
        image[1] = 1
        image[23] = 1
        length = size - 32 - 16 - 24 - 8
        image[28:32] = bytes((length & 255, length >> 8, 0, 0))
        partition = FakePartition(3)
        partition.data[:] = image
        wanted = str(binascii.hexlify(hashlib.sha256(bytes(image[:size])).digest()), "ascii")
        self.assertEqual(run(slots.image_hash(partition)), wanted)
        self.assertEqual(run(slots.image_hash(FakePartition(3))), "")


if __name__ == "__main__":
    unittest.main()

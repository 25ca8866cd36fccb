"""Tests what the board says of its app slots: their states in otadata, and an image's hash."""

import binascii
import hashlib
import unittest

from fakes import BLOCK, FakeNvs, FakePartition

from mqboard.health.bootrecord import Store
from mqboard.update import slots
from mqwire import flash


def record(sequence, state, crc=None):
    data = flash.pack_otadata(sequence, state, 0)
    good = binascii.crc32(data[:4], flash.CRC_START) & 0xFFFFFFFF
    return flash.pack_otadata(sequence, state, good if crc is None else crc)


def image_partition(label="ota_1"):
    """Return a partition with an app image: header, one segment, checksum row, hash."""
    partition = FakePartition(3, label)
    size = 2 * BLOCK + 48
    partition.data[:] = b"\x5a" * (3 * BLOCK)
    partition.data[0] = 0xE9
    partition.data[1] = 1
    partition.data[23] = 1
    length = size - 32 - 16 - 24 - 8
    partition.data[28:32] = bytes((length & 255, length >> 8, 0, 0))
    return partition


def note_reads(partition):
    """Return the list of how many bytes each read takes from now on."""
    sizes = []
    read = partition.readblocks

    def readblocks(number, buffer, offset=0):
        sizes.append(len(buffer))
        read(number, buffer, offset)

    partition.readblocks = readblocks
    return sizes


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
        for change in (0, 2 * BLOCK + 48 - 1, 2 * BLOCK + 48):
            partition = image_partition()
            if change:
                partition.data[change] ^= 1
            whole = hashlib.sha256(bytes(partition.data[: 2 * BLOCK + 48])).digest()
            found = slots.image_hash(partition, Store(FakeNvs()))
            self.assertEqual(found, str(binascii.hexlify(whole), "ascii"))
        self.assertEqual(slots.image_hash(FakePartition(3), Store(FakeNvs())), "")

    def test_image_hash_covers_the_signature_for_secure_boot(self):
        partition = FakePartition(5)
        partition.data[:] = bytes(image_partition().data) + b"\xff" * (2 * BLOCK)
        plain = hashlib.sha256(bytes(partition.data[: 2 * BLOCK + 48])).digest()
        block = bytearray(b"\xe7\x02") + bytes(1194)
        block += flash.struct.pack("<I", binascii.crc32(block) & 0xFFFFFFFF)
        signed = None
        for version, crc, limit in ((2, 0, 5), (3, None, 5), (2, 1, 5), (4, 0, 5), (2, 0, 3)):
            partition.data[3 * BLOCK :] = b"\xff" * (2 * BLOCK)
            partition.data[3 * BLOCK : 3 * BLOCK + len(block)] = block
            partition.data[3 * BLOCK + 1] = version
            if crc is None:  # that of this version
                data = partition.data[3 * BLOCK : 3 * BLOCK + 1196]
                crc = binascii.crc32(bytes(data)) & 0xFFFFFFFF
                partition.data[3 * BLOCK + 1196 : 3 * BLOCK + 1200] = flash.struct.pack("<I", crc)
                crc = 0
            partition.data[3 * BLOCK + 100] ^= crc
            signed = hashlib.sha256(bytes(partition.data[: 4 * BLOCK])).digest()
            whole = version in (2, 3) and not crc and limit > 3
            cut = partition if limit == 5 else image_partition()
            found = slots.image_hash(cut, Store(FakeNvs()))
            wanted = signed if whole else plain
            self.assertEqual(found, str(binascii.hexlify(wanted), "ascii"))

    def test_an_image_is_read_once_and_then_known_by_its_end(self):
        store = Store(FakeNvs())
        partition = image_partition()
        first = slots.image_hash(partition, store)
        read = note_reads(partition)
        self.assertEqual(slots.image_hash(partition, store), first)
        self.assertTrue(sum(read) < 200)
        partition.data[2 * BLOCK + 40] ^= 1  # another image: it ends in another hash
        other = slots.image_hash(partition, store)
        self.assertNotEqual(other, first)
        self.assertEqual(slots.image_hash(image_partition("ota_0"), store), first)
        self.assertEqual(slots.image_hash(partition, store), other)

    def test_the_hash_of_a_new_image_is_kept_when_it_is_written(self):
        store = Store(FakeNvs())
        partition = image_partition()
        slots.keep_hash(partition, "ab" * 32, store)
        self.assertEqual(slots.image_hash(partition, store), "ab" * 32)

    def test_a_hash_that_cannot_be_kept_fails_no_update(self):
        store = Store(FakeNvs())
        for error in (OSError(5), MemoryError()):
            partition = image_partition()

            def readblocks(number, buffer, offset=0, error=error):
                raise error

            partition.readblocks = readblocks
            slots.keep_hash(partition, "ab" * 32, store)
        slots.keep_hash(FakePartition(3), "ab" * 32, store)  # no image
        store._nvs.full = True
        slots.keep_hash(image_partition(), "ab" * 32, store)
        self.assertEqual(store._nvs.blobs, {})

    def test_an_image_that_does_not_end_in_its_hash_is_read_whole_each_time(self):
        store = Store(FakeNvs())
        partition = image_partition()
        partition.data[23] = 0
        first = slots.image_hash(partition, store)
        read = note_reads(partition)
        self.assertEqual(slots.image_hash(partition, store), first)
        self.assertTrue(sum(read) > BLOCK)

    def test_a_store_that_keeps_nothing_or_garbage_costs_only_time(self):
        class Full(FakeNvs):
            def set_blob(self, key, value):
                raise OSError(28)

        whole = slots.image_hash(image_partition(), Store(FakeNvs()))
        self.assertEqual(slots.image_hash(image_partition(), Store(Full())), whole)
        for text in (b"", b" ", b"x", b"00 11 22", b"\xff\xfe"):
            nvs = FakeNvs()
            nvs.blobs["hash_ota_1"] = text
            self.assertEqual(slots.image_hash(image_partition(), Store(nvs)), whole)


if __name__ == "__main__":
    unittest.main()

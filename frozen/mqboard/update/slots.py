"""Looks at the two app slots: their names, sizes, states, and the hash of the image in one.

The ESP32 port has no call that tells a slot's state, so it is read from otadata, whose format is in
mqwire.flash. Partitions come as arguments: esp32.Partition on a board, a fake in a test.
"""

import binascii
import hashlib

from mqwire import WireError, flash

_KEPT = "hash_"  # and the label: key of an image's hash in the store
_OTADATA = 0  # the subtype of the otadata partition
_LABEL = 4  # index into Partition.info(): type, subtype, address, size, label, encrypted
_SIZE = 3
_PIECE = 1024  # bytes read at a time: it is done at boot, when the heap should stay in one piece


def label(partition):
    """Return the partition's name, as "ota_0"."""
    return partition.info()[_LABEL]


def size(partition):
    """Return the partition's size in bytes."""
    return partition.info()[_SIZE]


def state(otadata, slot):
    """Return a slot's state in otadata as a word of mqwire.flash; "undefined" when it has none."""
    record = bytearray(flash.OTADATA_SIZE)
    best = 0
    word = flash.UNDEFINED
    for sector in (0, 1):
        otadata.readblocks(sector, record, 0)
        sequence, record_state, crc = flash.unpack_otadata(record)
        if sequence in (0, flash.BLANK):
            continue
        if binascii.crc32(bytes(record[:4]), flash.CRC_START) & 0xFFFFFFFF != crc:
            continue
        if sequence > best and label(slot) == "ota_%d" % ((sequence - 1) % 2):
            best = sequence
            word = record_state
    return flash.state_name(word)


def read_state(partitions, slot):
    """Return `state` by the otadata that `partitions`, the class esp32.Partition, finds."""
    found = partitions.find(partitions.TYPE_DATA, subtype=_OTADATA)
    return state(found[0], slot) if found else "undefined"


def image_hash(partition, store):
    """Return the SHA-256 of the app image in `partition`, as hex text; "" when there is no image.

    Reading a whole image takes seconds. So its hash is kept in `store` (see
    mqboard.health.bootrecord.Store) under the SHA-256 that ends the image, which the bootloader
    checks at every boot: as long as that is the same, so is the image.
    """
    view = memoryview(bytearray(_PIECE))
    read = _reader(partition, view)
    try:
        image, left = _seal(partition, read)
        left = _signed_size(read, left, size(partition))
    except WireError:
        return ""
    kept = (store.get(_KEPT + label(partition)) or "").split(" ")
    if image and kept[0] == image and len(kept) == 2:
        return kept[1]
    digest = hashlib.sha256()
    offset = 0
    while left > 0:
        digest.update(read(offset, min(left, _PIECE)))
        left -= _PIECE
        offset += _PIECE
    found = _hex(digest.digest())
    _keep(store, partition, image, found)
    return found


def keep_hash(partition, sha256, store):
    """Keep `sha256`, the hash (hex text) of the image just written to `partition`.

    Raises nothing: at worst the image is read again at its first boot.
    """
    try:
        image, _ = _seal(partition, _reader(partition, memoryview(bytearray(flash.DIGEST_SIZE))))
        _keep(store, partition, image, sha256)
    except (OSError, WireError, MemoryError):
        pass


def _reader(partition, view):
    def read(offset, count):
        partition.readblocks(0, view[:count], offset)
        return view[:count]

    return read


def _seal(partition, read):
    """Return (the hash that ends the image as hex text, or ""; the image's size in bytes).

    Raises WireError when there is no image.
    """
    image_size = flash.image_size(read, size(partition))
    if not flash.image_header(read(0, flash.IMAGE_HEADER_SIZE))[2]:
        return "", image_size
    return _hex(read(image_size - flash.DIGEST_SIZE, flash.DIGEST_SIZE)), image_size


def _signed_size(read, image, limit):
    """Return the bytes of an app image of `image` bytes with the signature for secure boot behind
    it; `image` where there is none."""
    start = (image + flash.SECTOR - 1) // flash.SECTOR * flash.SECTOR
    if start + flash.SECTOR > limit:
        return image
    head = read(start, 2)
    if head[0] != flash.SIGNATURE_MAGIC or head[1] not in flash.SIGNATURE_VERSIONS:
        return image
    crc = binascii.crc32(read(start, _PIECE))
    crc = binascii.crc32(read(start + _PIECE, flash.SIGNATURE_CRC - _PIECE), crc)
    wanted = int.from_bytes(read(start + flash.SIGNATURE_CRC, 4), "little")
    return start + flash.SECTOR if crc & 0xFFFFFFFF == wanted else image


def _keep(store, partition, image, sha256):
    if image:
        try:
            store.set(_KEPT + label(partition), image + " " + sha256)
        except OSError:
            pass  # NVS is full or worn out: the image is read again at the next boot


def _hex(digest):
    return str(binascii.hexlify(digest), "ascii")

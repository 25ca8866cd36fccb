"""Block messages: the blocks of an app image, encoded and packed for the wire.

Lazy on purpose: a block is compressed when its message is about to be sent, so that an update holds
one image in memory and nothing is compressed that the board turns out not to need.
"""

import zlib
from collections.abc import Iterable, Iterator

from mqhost.offer import block_of
from mqwire import MAX_PAYLOAD
from mqwire.update import DEFLATE, RAW, WINDOW_BITS, pack_record


def encode(block: bytes) -> tuple[int, bytes]:
    """The shorter spelling of a 4096-byte block: (encoding, data)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS)
    data = compressor.compress(block) + compressor.flush()
    return (DEFLATE, data) if len(data) < len(block) else (RAW, block)


def block_messages(app: bytes, numbers: Iterable[int]) -> Iterator[tuple[bytes, int]]:
    """Yield (payload, number of blocks in it) for the blocks `numbers` of `app`, in that order.

    Small blocks share a message; no payload is longer than MAX_PAYLOAD. `numbers` is read only a
    few blocks ahead, so it may change its mind about later ones.
    """
    records: list[bytes] = []
    size = 0
    for number in numbers:
        record = pack_record(number, *encode(block_of(app, number)))
        if records and size + len(record) > MAX_PAYLOAD:
            yield b"".join(records), len(records)
            records, size = [], 0
        records.append(record)
        size += len(record)
    if records:
        yield b"".join(records), len(records)

"""Makes block messages: the blocks of an app image, encoded and packed for the wire.

Lazy on purpose: a block is compressed when its message is about to be sent, so that an update holds
one image in memory and nothing is compressed that the board turns out not to need.
"""

import functools
import zlib
from collections.abc import Iterable, Iterator

from mqhost.signing.offer import block_of
from mqhost.update.delta import Delta
from mqwire import MAX_PAYLOAD
from mqwire.update import (
    DEFLATE,
    DELTA,
    FLUSH,
    MAX_DATA,
    RAW,
    RECORD_SIZE,
    WINDOW_BITS,
    pack_record,
)

# In one message: a board does nothing else while it takes one, and writing a block takes 56 ms.
MAX_BLOCKS = 8
_KEPT = 4096  # what was compressed: boards that are sent the same image are sent it once more


@functools.lru_cache(_KEPT)
def deflate(data: bytes) -> bytes:
    """Return `data` as raw deflate, as records have it: flushed, without the end of the flush."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS, 9)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(FLUSH)


def encode(block: bytes) -> tuple[int, bytes]:
    """Return the shorter spelling of a 4096-byte block by itself: (encoding, data)."""
    data = deflate(block)
    return (DEFLATE, data) if len(data) < len(block) else (RAW, block)


class Encoder:
    """Makes the messages of `app`, as differences (`delta`) where these take less.

    `saved` counts the bytes that differences took less than the same blocks by themselves.
    """

    def __init__(self, app: bytes, delta: Delta | None = None) -> None:
        self.saved = 0
        self._app = app
        self._delta = delta

    def messages(self, numbers: Iterable[int]) -> Iterator[tuple[bytes, int]]:
        """Yield (payload, number of blocks in it) for the blocks `numbers`, in that order.

        Small blocks share a message; no payload is longer than MAX_PAYLOAD. `numbers` is read only
        a few blocks ahead, so it may change its mind about later ones.
        """
        records: list[bytes] = []
        size = blocks = 0
        for record, count in self._records(numbers):
            if records and (size + len(record) > MAX_PAYLOAD or blocks + count > MAX_BLOCKS):
                yield b"".join(records), blocks
                records, size, blocks = [], 0, 0
            records.append(record)
            size += len(record)
            blocks += count
        if records:
            yield b"".join(records), blocks

    def _records(self, numbers: Iterable[int]) -> Iterator[tuple[bytes, int]]:
        """Yield each record and how many blocks it makes."""
        run = _Run(0)
        for number in numbers:
            encoding, data = encode(block_of(self._app, number))
            if self._delta:
                instructions = self._delta.instructions(number)
                if run.add(number, instructions, len(data)):
                    continue
                yield from self._end(run)
                run = _Run(number)
                if run.add(number, instructions, len(data)):
                    continue
            yield pack_record(number, encoding, data), 1
        yield from self._end(run)

    def _end(self, run: "_Run") -> Iterator[tuple[bytes, int]]:
        """Yield the record of `run` if there are blocks in it."""
        if run.count:
            record = pack_record(run.first, DELTA, run.data)
            self.saved += run.plain - len(record)
            yield record, run.count


class _Run:
    """Blocks one behind the other, from `first` on, that travel as one record of differences.

    `plain` is what they would take by themselves.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.count = 0
        self.plain = 0
        self.data = b""
        self._instructions = b""

    def add(self, number: int, instructions: bytes, plain: int) -> bool:
        """Add block `number`, which has `plain` bytes by itself; False if it had better not be."""
        if number != self.first + self.count or self.count == MAX_BLOCKS:
            return False
        data = bytes((self.count + 1,)) + deflate(self._instructions + instructions)
        if len(data) - len(self.data) >= plain or len(data) > MAX_DATA:
            return False
        self._instructions += instructions
        self.data = data
        self.count += 1
        self.plain += plain + RECORD_SIZE
        return True

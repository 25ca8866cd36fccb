"""Decodes block records: one block buffer, one decompressor, both made before a transfer begins.

    record -> Decoder.begin -> Decoder.fill for each of its blocks -> Decoder.block

The decompressor is never made anew for a block. Each record's deflate data ends with a flush, so
that any row of records is one endless stream to it, while each record can be decoded on its own.
What it left of a record (it stops with a block's last byte, before the flush) goes in front of the
next one. After data that was not right there is a new decompressor, which knows nothing of it.
"""

import io

from deflate import RAW, DeflateIO
from micropython import const

from mqwire import update as wire

_MAX_REST = const(64)  # an end of a block and a flush are much less
_INPUT = const(4168)  # that, the data of one record, and a flush
_FIRST = b"\0\x01\0\xfe\xff\xff"  # a stored block of one byte: the window is allocated with it
_PADDING = b"\xff" * 64


class Decoder:
    """Decodes into `block`. `base` is the running image's partition, `base_size` its size in bytes.

    Everything is allocated here: MemoryError now, or not at all.
    """

    def __init__(self, base, base_size):
        self._base = base
        self._base_size = base_size
        self.block = bytearray(wire.BLOCK_SIZE)
        self._view = memoryview(self.block)
        self._small = memoryview(bytearray(2 * wire.BATCH))
        self._input = io.BytesIO()
        self._input.seek(_INPUT - 1)
        self._input.write(b"\0")
        self._encoding = wire.RAW
        self._data = None
        self._used = True
        self.renew()

    def renew(self):
        """Get a new decompressor; False when that would make no difference."""
        if not self._used:
            return False
        self._stream = None  # its memory is for the new one
        self._stream = DeflateIO(self._input, RAW, wire.WINDOW_BITS)
        self._input.seek(0)
        self._size = 0
        self._feed(_FIRST)
        self._read(self._small[:1])
        self._size = self._input.tell()
        self._used = False
        return True

    def close(self):
        """Free all but the block buffer: no more records will come."""
        self._stream = self._input = None

    def begin(self, encoding, data):
        """Take a record's data, a memoryview. Raises ValueError if it cannot be right."""
        self._encoding = encoding
        if encoding == wire.RAW:
            self._data = data
            return
        if encoding == wire.DELTA:
            data = data[wire.DELTA_HEADER :]
        elif encoding != wire.DEFLATE:
            raise ValueError("encoding")
        self._feed(data)

    def fill(self, number):
        """Fill the block buffer with the record's next block, which is block `number` of the image.

        Raises ValueError for data that cannot be decoded, OSError when the flash cannot be read.
        """
        if self._encoding == wire.RAW:
            self._copy(self._data)
        elif self._encoding == wire.DEFLATE:
            self._read(self._view)
        else:
            self._execute(number * wire.BLOCK_SIZE)

    def _copy(self, data):
        size = len(data)
        self._view[:size] = data  # ValueError or IndexError when it is too long
        while size < wire.BLOCK_SIZE:  # the image's last block
            count = min(len(_PADDING), wire.BLOCK_SIZE - size)
            self._view[size : size + count] = _PADDING[:count]
            size += count

    def _execute(self, start):
        """Fill the block buffer as the instructions in the stream say; see mqwire.update."""
        position = 0
        header = self._small[: wire.INSTRUCTION_SIZE]
        while position < wire.BLOCK_SIZE:
            self._read(header)
            length, patches, distance = wire.unpack_instruction(header)
            if not 0 < length <= wire.BLOCK_SIZE - position:
                raise ValueError("length")
            part = self._view[position : position + length]
            if patches == wire.LITERAL:
                self._read(part)
            else:
                source = start + position + distance
                if source < 0 or source + length > self._base_size:
                    raise ValueError("source")
                self._base.readblocks(0, part, source)
                self._patch(part, patches)
            position += length

    def _patch(self, part, patches):
        """Change numbers in `part`, which is a copy of the base."""
        small = self._small
        size = len(part)
        position = 0
        while patches > 0:
            count = min(patches, wire.BATCH)
            patches -= count
            self._read(small[: 2 * count])
            for number in range(count):
                position += small[number]
                if position >= size:  # also where nothing is added: a bomb would take minutes
                    raise ValueError("patch")
                index = position
                added = small[count + number]
                if added > 127:
                    added -= 256
                while added:
                    if index >= size:
                        break
                    added += part[index]
                    part[index] = added & 0xFF
                    added >>= 8
                    index += 1
                position += 1

    def _feed(self, data):
        """Put a record's data behind what is left of the last one's."""
        stream = self._input
        rest = self._size - stream.tell()
        size = len(data) + len(wire.FLUSH)
        if not 0 <= rest <= _MAX_REST or rest + size > _INPUT:
            raise ValueError("size")
        rest = stream.read(rest)
        stream.seek(0)
        stream.write(rest)
        stream.write(data)
        stream.write(wire.FLUSH)
        stream.seek(0)
        self._size = len(rest) + size
        self._used = True

    def _read(self, view):
        """Fill `view` from the decompressor."""
        try:
            count = self._stream.readinto(view)
        except (OSError, EOFError):
            count = 0
        if count != len(view):
            raise ValueError("deflate")

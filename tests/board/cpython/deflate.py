"""Stands in on CPython for MicroPython's `deflate` module: what reading raw deflate needs.

Like the original it takes none of its stream's bytes behind the last one it needs.
"""

import zlib

RAW = 1
_PIECE = 64


class DeflateIO:
    def __init__(self, stream, format, wbits):
        assert format == RAW
        self._stream = stream
        self._inflater = zlib.decompressobj(-wbits)

    def readinto(self, view):
        """Fill `view`; fewer bytes at the end of the data. EOFError when it is cut short."""
        count = self._fill_all_but_the_last(view)
        more = b""
        while count < len(view) and not self._inflater.eof:
            found = self._inflate(more, len(view) - count)
            view[count : count + len(found)] = found
            count += len(found)
            if count < len(view) and not self._inflater.eof:
                more = self._stream.read(1)
                if not more:
                    raise EOFError
        return count

    def _fill_all_but_the_last(self, view):
        """zlib goes on until it knows its next byte: that is one which is still wanted.

        In small pieces: within one, zlib would copy from behind what the window still holds.
        """
        count = 0
        if len(view) < 2 or self._inflater.eof:
            return count
        start, data = self._stream.tell(), self._stream.read()
        end = start + len(data)
        while data and count < len(view) - 1 and not self._inflater.eof:
            found = self._inflate(data, min(_PIECE, len(view) - 1 - count))
            view[count : count + len(found)] = found
            count += len(found)
            data = self._inflater.unconsumed_tail
        rest = self._inflater.unused_data if self._inflater.eof else data
        self._stream.seek(end - len(rest))
        return count

    def _inflate(self, data, size):
        try:
            return self._inflater.decompress(data, size)
        except zlib.error as error:
            raise OSError(22) from error

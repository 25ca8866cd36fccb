"""Stands in on CPython for MicroPython's `deflate` module: what reading raw deflate needs.

Like the original it takes its stream's bytes one by one, and none behind the last one it needs.
"""

import zlib

RAW = 1


class DeflateIO:
    def __init__(self, stream, format, wbits):
        assert format == RAW
        self._stream = stream
        self._inflater = zlib.decompressobj(-wbits)

    def readinto(self, view):
        """Fill `view`; fewer bytes at the end of the data. EOFError when it is cut short."""
        count = 0
        more = b""
        while count < len(view) and not self._inflater.eof:
            try:
                found = self._inflater.decompress(more, len(view) - count)
            except zlib.error as error:
                raise OSError(22) from error
            view[count : count + len(found)] = found
            count += len(found)
            more = self._inflater.unconsumed_tail
            if count < len(view) and not self._inflater.eof and not more:
                more = self._stream.read(1)
                if not more:
                    raise EOFError
        assert not more
        return count

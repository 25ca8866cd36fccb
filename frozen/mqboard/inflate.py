"""Raw deflate into a caller's buffer, on MicroPython's deflate module."""

import io

from deflate import RAW, DeflateIO

from mqwire.update import WINDOW_BITS


def inflate(data, out):
    """Fill `out` from raw deflate `data`; return the byte count.

    Raises OSError or EOFError for data that is not deflate or is cut short.
    """
    stream = DeflateIO(io.BytesIO(data), RAW, WINDOW_BITS)
    view = memoryview(out)
    count = 0
    while count < len(out):
        got = stream.readinto(view[count:])
        if not got:
            break
        count += got
    return count

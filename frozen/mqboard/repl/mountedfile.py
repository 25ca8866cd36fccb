"""Reads a file of the host's folder that is mounted (mqboard.repl.mounted), part by part.

The host sends as far as it was allowed to. So a file needs no more memory than what has come of it
and is not read, and a large one does not cost a round trip for each part.
"""

import io

from micropython import const

from mqwire import mount as wire

_CLOSE = const(4)  # MP_STREAM_CLOSE
_EINVAL = const(22)
_ENOENT = const(2)
_ENOMEM = const(12)
_PIECE = const(256)
_KEPT = const(512)  # bytes in one piece of what has come: there is always room for a small one


class File(io.IOBase):
    """A file of `mounted`, from its beginning to its end. `begin` it."""

    def __init__(self, mounted, number):
        self.number = number
        self._mounted = mounted
        self._parts = []  # that have come, and are not read
        self._come = 0  # bytes that have
        self._read = 0  # bytes that are read
        self._allowed = wire.WINDOW  # up to where the host may send
        self._total = -1  # not known
        self._fault = 0
        self._seen = -1

    def begin(self, path):
        """Ask for it, and wait for the first part."""
        self._mounted.ask(self, {"path": path, "to": self._allowed})
        self._mounted.wait(self)
        if self._fault:
            raise OSError(self._fault)

    def hear(self, position, total, data):
        """Take a part; in the MQTT reader."""
        if total == wire.FAULT:
            self._fault = position or _ENOENT
        elif position == self._come:
            try:
                for start in range(0, len(data), _KEPT):
                    self._parts.append(bytes(data[start : start + _KEPT]))
            except MemoryError:
                self._fault = _ENOMEM
            self._come += len(data)
            self._total = total

    def news(self):
        """Return whether there is something to read, or to say."""
        return self._parts or self._fault or self._come == self._total

    def readinto(self, buffer):
        """Fill `buffer`, but for the end of the file; return the number of bytes. Raises OSError.

        What fills less is the end, for MicroPython's reader.
        """
        done = 0
        while done < len(buffer) and self._more():
            part = self._parts.pop(0)
            count = min(len(part), len(buffer) - done)
            buffer[done : done + count] = part[:count]
            done += count
            if count < len(part):
                self._parts.insert(0, memoryview(part)[count:])
        self._read += done
        if self._read + wire.WINDOW // 2 > self._allowed < self._total:
            self._allowed = self._read + wire.WINDOW
            self._mounted.ask(self, {"to": self._allowed})
        return done

    def _more(self):
        """Wait until there is a part to read; return whether there is one."""
        if not self._parts and self._come != self._total:
            self._mounted.wait(self)
        if self._fault:
            raise OSError(self._fault)
        return bool(self._parts)

    def read(self, size=-1):
        """Return so many bytes, less at the end; all of them without a number."""
        data = bytearray()
        while size < 0 or len(data) < size:
            piece = bytearray(_PIECE if size < 0 else min(_PIECE, size - len(data)))
            count = self.readinto(piece)
            if not count:
                break
            data.extend(memoryview(piece)[:count])
        return bytes(data)

    def close(self):
        """Let go of it."""
        self._mounted.forget(self)

    def ioctl(self, request, argument):
        """Answer MicroPython's reader."""
        if request == _CLOSE:
            self.close()
            return 0
        return -_EINVAL

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

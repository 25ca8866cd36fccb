"""Runs a program at a terminal of its own, types, and waits for what its screen shows.

The terminal knows what prompt_toolkit makes use of: moves of the cursor, erasing, the question
where the cursor is. It has no end below and none at the right.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

ROWS, COLUMNS = 40, 100
_SEQUENCE = re.compile(rb"\x1b(?:\[([?>]?)([0-9;]*)([A-Za-z])|\][^\x07]*\x07|[()].|[=>78cMDE])")
_UNFINISHED = re.compile(rb"\x1b(?:\[[?>]?[0-9;]*|\][^\x07]*|[()])?\Z")


class Terminal:
    """Runs `argv`; a context manager. `screen` is what it shows, as text."""

    def __init__(self, argv, **options):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._file = ours
        self.process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **options,
        )
        self._theirs = theirs  # so that it can be looked at when the program has ended
        self._changed = threading.Condition()
        self._lines = [[]]
        self._row = self._column = 0
        self._rest = b""
        self.raw = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._theirs)
        self._reader.join(10)
        os.close(self._file)

    @property
    def screen(self):
        with self._changed:
            return self._text()

    def type(self, text):
        """Type `text`, where a new line is the Enter key."""
        os.write(self._file, text.replace("\n", "\r").encode())

    def paste(self, text):
        """Paste `text`, as terminals do for programs that want to know."""
        os.write(self._file, b"\x1b[200~" + text.replace("\n", "\r").encode() + b"\x1b[201~")

    def expect(self, text, timeout=20.0, count=1):
        """Wait until the screen shows `text` so many times; return the screen."""
        return self.wait(lambda screen: screen.count(text) >= count, timeout, text)

    def wait(self, condition, timeout=20.0, what="that"):
        """Wait until `condition(screen)`; return the screen."""
        with self._changed:
            found = self._changed.wait_for(lambda: condition(self._text()), timeout)
            assert found, f"the screen does not show {what!r}:\n{self._text()}"
            return self._text()

    def ended(self, timeout=20.0):
        """Wait for the program's end; return its exit code."""
        return self.process.wait(timeout)

    def is_cooked(self):
        """Return whether the terminal is as it was: it echoes, and takes lines."""
        flags = termios.tcgetattr(self._theirs)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def _text(self):
        return "\n".join("".join(line).rstrip() for line in self._lines)

    def _read(self):
        while True:
            try:
                data = os.read(self._file, 65536)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self.raw += data
                self._take(self._rest + data)
                self._changed.notify_all()

    def _take(self, data):
        while data:
            if data[0] == 0x1B:
                found = _SEQUENCE.match(data)
                if not found:
                    if _UNFINISHED.match(data):
                        break
                    self._put("\x1b")
                    data = data[1:]
                    continue
                if found[3]:
                    self._control(found[1], found[2], found[3])
                data = data[found.end() :]
                continue
            end = data.find(b"\x1b")
            piece = data if end < 0 else data[:end]
            text = piece.decode("utf-8", "ignore")
            if end < 0 and piece[-4:].decode("utf-8", "replace").endswith("\ufffd"):
                cut = next(n for n in range(1, 5) if piece[-n] & 0xC0 != 0x80)
                self._write(piece[:-cut].decode("utf-8", "replace"))
                data = piece[-cut:]
                break
            self._write(text)
            data = data[len(piece) :]
        self._rest = data

    def _write(self, text):
        for character in text:
            if character == "\r":
                self._column = 0
            elif character == "\n":
                self._move(self._row + 1)
            elif character == "\b":
                self._column = max(0, self._column - 1)
            elif character != "\x07":
                self._put(character)

    def _move(self, row):
        self._row = max(0, row)
        while len(self._lines) <= self._row:
            self._lines.append([])

    def _put(self, character):
        line = self._lines[self._row]
        line.extend(" " * (self._column + 1 - len(line)))
        line[self._column] = character
        self._column += 1

    def _control(self, private, numbers, letter):
        if private:
            return
        count = int(numbers.split(b";")[0] or 1)
        if letter == b"A":
            self._move(self._row - count)
        elif letter == b"B":
            self._move(self._row + count)
        elif letter == b"C":
            self._column += count
        elif letter == b"D":
            self._column = max(0, self._column - count)
        elif letter == b"G":
            self._column = count - 1
        elif letter == b"K":
            del self._lines[self._row][self._column :]
        elif letter == b"J":
            del self._lines[self._row][self._column :]
            del self._lines[self._row + 1 :]
        elif letter == b"n":
            row = min(self._row + 1, ROWS)
            os.write(self._file, b"\x1b[%d;%dR" % (row, self._column + 1))

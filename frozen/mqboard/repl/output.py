"""Gathers what code prints into reply messages, as far as whoever reads them gives credit.

Credit is the number of bytes that may be sent in all; it grows by the command `credit`. Code that
has used it up waits: between two steps where it is asynchronous, inside its print where it is not;
then packets are taken there, or no credit could come. After ten seconds in vain output is dropped,
and counted, until there is credit again.
"""

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_CHUNK = const(1400)  # bytes per message: with its headers one TCP segment
PATIENCE_MS = const(10_000)
_LOOK_MS = const(200)
_NEWLINE = const(10)


class Output:
    """Sends through `request`; `credit` None: without a limit. `job.wait(ms)` takes packets for so
    long, and may raise KeyboardInterrupt.
    """

    def __init__(self, request, job, credit=None):
        self._buffer = None  # made for the first bytes
        self.used = 0  # bytes in it
        self._request = request
        self._job = job
        self.credit = credit
        self.sent = 0
        self.dropped = 0
        self._margin = credit // 4 if credit else 0
        self.patient = True  # waits for credit; if not, drops what there is no credit for
        self.busy = False  # at work: nobody may break in

    def write_line(self, data):
        """Take `data` (bytes) and a newline: most prints."""
        size = len(data) + 1
        if self.used and self.used + size < _CHUNK:
            # The timer's look, which may send the buffer, comes at jumps: none from here on.
            start, buffer = self.used, self._buffer
            end = start + size
            buffer[start : end - 1] = data
            buffer[end - 1] = _NEWLINE
            self.used = end
            return
        self.write(data)
        self.write(b"\n")

    def write(self, data):
        """Take `data` (bytes-like); the protocol of mqboard.log.Console.capture."""
        size = len(data)
        if self.used and self.used + size < _CHUNK:
            # As in `write_line`: no jump.
            end = self.used + size
            self._buffer[self.used : end] = data
            self.used = end
            return
        if not self._buffer:
            self._buffer = memoryview(bytearray(_CHUNK))
        view = memoryview(data)
        while len(view):
            count = min(len(view), _CHUNK - self.used)
            self._buffer[self.used : self.used + count] = view[:count]
            self.used += count
            view = view[count:]
            if self.used == _CHUNK:
                self._send()

    def any(self):
        """Return whether anything was printed."""
        return bool(self.used or self.sent or self.dropped)

    def short(self):
        """Return whether there is no credit for what is gathered."""
        return self.credit is not None and self.sent + self.used > self.credit

    def ahead(self):
        """Return whether asynchronous code should wait for credit before its next step."""
        if self.credit is None or not self.patient:
            return False
        return self.sent + self.used + self._margin > self.credit

    def grant(self, credit):
        """Take that so many bytes may be sent in all."""
        if self.credit is not None and credit > self.credit:
            self.credit = credit
            self.patient = True

    def flush(self):
        """Send what there is, if there is credit; from code that cannot wait."""
        if self.used and not self.busy and not self.short():
            self._send()

    def flush_by(self, publish):
        """Send what there is by publish(topic, payload), in the middle of other code."""
        self._request.reply_now(self._buffer[: self.used], publish)
        self.sent += self.used
        self.used = 0

    def rest(self):
        """Return the bytes not sent yet, and forget them."""
        used, self.used = self.used, 0
        return bytes(self._buffer[:used]) if used else b""

    def _send(self):
        """Send the buffer, or drop it. What interrupts a wait leaves it as it is."""
        self.busy = True
        try:
            if self.short():
                if self.patient:
                    self.patient = self._wait()
                else:
                    self._job.wait(0)  # it may have come
            if self.short():
                self.dropped += self.used
            else:
                self._request.reply_now(self._buffer[: self.used])
                self.sent += self.used
            self.used = 0
        except OSError:  # the link is gone: the code runs on, unheard
            self.dropped += self.used
            self.used = 0
        finally:
            self.busy = False

    def _wait(self):
        """Wait for credit; return whether it came."""
        start = ticks_ms()
        while self.short():
            if ticks_diff(ticks_ms(), start) > PATIENCE_MS:
                return False
            self._job.wait(_LOOK_MS)
        return True

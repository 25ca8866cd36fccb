"""Stands in for `machine.UART` of the ESP32 port: UARTs 1 and 2, at the terminals that the chip has
for them, or connected to nothing. Signatures and errors are those of the port's machine_uart.c.
"""

import io
import select

import _bus
from micropython import const

_UART = const(21)
_FIRST_FD = const(5)  # and the number of the UART
_BAUD_MAX = const(5_000_000)
# Of MicroPython's py/stream.h.
_POLL = const(3)
_FILENO = const(10)
_ERROR = const(-1)

_files = {}  # number of a UART: its terminal, which stays open


class UART(io.IOBase):
    """A UART; reads and writes as a stream does that never blocks."""

    IRQ_RXIDLE = const(2)

    def __init__(self, id, baudrate=115200, **options):
        if id not in (1, 2):
            raise ValueError("UART(%s) does not exist" % id)
        self._id = id
        self._file = None
        self.init(baudrate, **options)

    def init(
        self,
        baudrate=115200,
        bits=8,
        parity=None,
        stop=1,
        *,
        tx=None,
        rx=None,
        rts=None,
        cts=None,
        txbuf=256,
        rxbuf=256,
        timeout=0,
        timeout_char=0,
        invert=0,
        flow=0,
    ):
        """Set it up."""
        if not 0 < baudrate <= _BAUD_MAX:
            raise ValueError("invalid baudrate")
        if _bus.call(_UART, self._id, baudrate):
            if self._id not in _files:
                _files[self._id] = open(_FIRST_FD + self._id, "r+b", buffering=0)  # noqa: SIM115
            self._file = _files[self._id]

    def deinit(self):
        """Switch it off."""
        self._file = None

    def any(self):
        """Return whether there are bytes to read."""
        if not self._file:
            return 0
        poller = select.poll()
        poller.register(self._file, select.POLLIN)
        return len(poller.poll(0))

    def read(self, size=256):
        """Return up to `size` bytes of what is there; None when there is nothing."""
        return self._file.read(size) if self.any() else None

    def readinto(self, buffer, size=-1):
        """Read what is there into `buffer`; None when there is nothing."""
        if not self.any():
            return None
        return self._file.readinto(buffer if size < 0 else memoryview(buffer)[:size])

    def write(self, buffer):
        """Write; bytes that nobody takes are gone."""
        return self._file.write(buffer) if self._file else len(buffer)

    def irq(self, handler=None, trigger=0, hard=False):
        """Take a handler that is never called: what comes while PPP runs is for nobody here."""
        return self

    def ioctl(self, request, argument):
        """Answer MicroPython's stream protocol."""
        if request == _FILENO and self._file:
            return self._file.fileno()
        if request == _POLL:
            return argument & select.POLLOUT
        return _ERROR

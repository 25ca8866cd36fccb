"""Speaks the CPU's end of the bus to the simulated chip; host/mqhost/sim/bus.py documents it.

`call` makes one request and waits for its reply. What goes through the mailbox must lie there
before the request and be taken before the next, so there is one exchange at a time. Ctrl-C may
break in anywhere: the next exchange then waits for the chip to have finished with the old one.
"""

import _thread
import struct

import utime
from micropython import const

# The operations are numbered in host/mqhost/sim/bus.py. Each module here names those it asks for as
# private constants: public ones would be entries of a table in the heap.
_PING = const(0)
_BOOT_INFO = const(1)
_CLOCK_SET = const(15)

_MAILBOX_SIZE = const(8192)
_REQUEST = const("<BBHII")
_REPLY = const("<ixxH")
_NUMBER_AT = const(4)  # in a reply

_bus = open(3, "r+b")  # noqa: SIM115 (these three are for ever)
_flash = open(4, "rb")  # noqa: SIM115
_mailbox = open(5, "r+b")  # noqa: SIM115
_lock = _thread.allocate_lock()
# Allocated once: flash is written often, and always through here.
_request = bytearray(12)
_reply = bytearray(8)
_read_time = bytearray(4)
_number = 0
slot_bytes_read = 0  # of the app slots, since the boot
_broken = False
wake_pins = (0, 0)  # bits of those that end a deep sleep: by ext0, by ext1


def call(op, x=0, y=0, data=None, into=None):
    """Make a request; return its result.

    That is a number; or the bytes that the chip answers with; or, when `into` is a buffer that they
    fit in, their count. Raises OSError(-code, name) as the ESP32 port does.
    """
    global _broken
    with _lock:
        if _broken:
            _exchange(_PING, 0, 0, 0)
        _broken = True
        if data is not None:
            _mailbox.seek(0)
            _mailbox.write(data)
        _exchange(op, x, y, 0 if data is None else len(data))
        result, size = struct.unpack(_REPLY, _reply)
        if size:
            _mailbox.seek(0)
            if into is None or result < 0:
                answer = _mailbox.read(size)
            elif size <= len(into):
                answer = _mailbox.readinto(into if size == len(into) else memoryview(into)[:size])
            else:
                answer = None
        else:
            answer = result
        _broken = False
    if result < 0:
        raise OSError(result, str(answer, "utf-8"))
    if answer is None:
        raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
    return answer


def busy():
    """Return whether somebody uses the bus."""
    return _lock.locked()


def read_flash(address, buffer):
    """Fill `buffer` from flash; it takes as long as the chip says."""
    with _lock:
        _flash.seek(address)
        _flash.readinto(buffer)
        _mailbox.seek(_MAILBOX_SIZE)
        _mailbox.readinto(_read_time)
    per_block = struct.unpack("<I", _read_time)[0]
    if per_block:
        utime.sleep_us(per_block * len(buffer) // 4096)


def _exchange(op, x, y, size):
    """Send a request and wait for `_reply`, over stale ones; needs no heap, like a chip."""
    global _number
    _number = _number + 1 & 0xFF
    struct.pack_into(_REQUEST, _request, 0, op, _number, size, x, y)
    _bus.write(_request)
    while True:
        if _bus.readinto(_reply) != len(_reply):
            raise SystemExit  # the chip is gone
        if _reply[_NUMBER_AT] == _number:
            return


# The slot that runs (its address), why the CPU was reset and woken, who it is, and by how many
# microseconds the board's clock is ahead of the host's.
running, reset_cause, wake_cause, mac, clock_lead = struct.unpack("<IBB6sq", call(_BOOT_INFO))


def set_clock(microseconds):
    """Set the board's clock to microseconds since 1970."""
    global clock_lead
    (clock_lead,) = struct.unpack("<q", call(_CLOCK_SET, data=struct.pack("<q", microseconds)))

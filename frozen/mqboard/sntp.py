"""The time of day: a floor for the clock at boot, and SNTP (RFC 4330) to set it right.

The floor is the firmware's build time: certificates made before it can be checked at once.
"""

import asyncio
import socket
import struct
import time
from asyncio import core

import machine
from micropython import const

_PORT = const(123)
_REQUEST = b"\x1b" + bytes(47)  # version 3, client
_ANSWER = const(48)
_SERVER = const(4)  # the mode of an answer
_TRANSMIT = const(40)  # where the time stands in it, seconds since 1900
_FROM_1900 = const(2208988800)
_FROM_2000 = const(946684800)
_TIMEOUT_S = const(5)
_WEEKDAY = const(0)  # the port works it out


def set_floor(unix_time):
    """Set the clock to `unix_time` (seconds since 1970) if it is behind."""
    if time.time() + _epoch() < unix_time:
        _set(unix_time)


async def set_clock(server, port=_PORT):
    """Set the clock to the time that NTP server `server` tells; raise OSError."""
    address = socket.getaddrinfo(server, port, 0, socket.SOCK_DGRAM)[0]
    sock = socket.socket(*address[:3])
    try:
        sock.setblocking(False)
        sock.connect(address[-1])
        sock.write(_REQUEST)
        answer = await asyncio.wait_for(_receive(sock), _TIMEOUT_S)
    except asyncio.TimeoutError:
        raise OSError("no answer")
    finally:
        sock.close()
    seconds = struct.unpack_from(">I", answer, _TRANSMIT)[0] if len(answer) == _ANSWER else 0
    if not seconds or answer[0] & 7 != _SERVER:
        raise OSError("no time in the answer")
    if not seconds & 0x80000000:
        seconds += 1 << 32  # from 2036 on
    _set(seconds - _FROM_1900)


# async
def _receive(sock):
    yield core._io_queue.queue_read(sock)
    return sock.recv(_ANSWER)


def _epoch():
    """When time.time() is 0, in seconds since 1970: it depends on the port."""
    return _FROM_2000 if time.gmtime(0)[0] == 2000 else 0


def _set(unix_time):
    year, month, day, hour, minute, second = time.gmtime(unix_time - _epoch())[:6]
    machine.RTC().datetime((year, month, day, _WEEKDAY, hour, minute, second, 0))

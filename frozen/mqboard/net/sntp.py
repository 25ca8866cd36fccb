"""Asks an NTP server for the time of day: SNTP (RFC 4330)."""

import asyncio
import os
import socket
import struct
from asyncio import core

from micropython import const

from mqboard.clock import within
from mqboard.net.stream import look_up

_PORT = const(123)
_REQUEST = b"\x1b" + bytes(39)  # version 3, client; our time of sending follows
_ANSWER = const(48)
_SERVER = const(4)  # the mode of an answer
_ALARM = const(3)  # the leap indicator of a server that does not know the time itself
_ORIGINATE = const(24)  # where our time of sending comes back
_STAMP = const(8)
_TRANSMIT = const(40)  # where the time stands in it, seconds since 1900
_FROM_1900 = const(2208988800)
_TIMEOUT_S = const(5)


async def ask(server, port=_PORT, dns=""):
    """Return the time that NTP server `server` tells, in seconds since 1970; raise OSError.

    An answer to another question is not believed: the time of sending that we give is random, and
    an answer has to repeat it (RFC 5905). `dns` is the address of a DNS server, as for
    mqboard.net.open_stream.
    """
    address = (await look_up(server, port, socket.SOCK_DGRAM, dns))[0]
    sock = socket.socket(*address[:3])
    try:
        sock.setblocking(False)
        sock.connect(address[-1])
        stamp = os.urandom(_STAMP)
        sock.write(_REQUEST + stamp)
        answer = await within(_TIMEOUT_S, _receive(sock, stamp))
    except asyncio.TimeoutError:
        raise OSError("no answer")
    finally:
        sock.close()
    whole = len(answer) == _ANSWER
    seconds, fraction = struct.unpack_from(">II", answer, _TRANSMIT) if whole else (0, 0)
    stratum = answer[1]  # 0: the server wants to be left alone
    if not seconds or not stratum or answer[0] & 7 != _SERVER or answer[0] >> 6 == _ALARM:
        raise OSError("no time in the answer")
    if not seconds & 0x80000000:
        seconds += 1 << 32  # from 2036 on
    return seconds - _FROM_1900 + (fraction >> 31)


# async
def _receive(sock, stamp):
    while True:
        yield core._io_queue.queue_read(sock)
        answer = sock.recv(_ANSWER)
        if answer[_ORIGINATE : _ORIGINATE + _STAMP] == stamp:
            return answer

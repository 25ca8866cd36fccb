"""Asks an NTP server for the time of day and sets the clock: SNTP (RFC 4330)."""

import asyncio
import os
import socket
import struct
from asyncio import core

from micropython import const

from mqboard.net.dns import look_up
from mqboard.net.timeofday import set_time

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


async def set_clock(server, floor=0, port=_PORT, dns=""):
    """Set the clock to the time that NTP server `server` tells; raise OSError.

    A time before `floor` (seconds since 1970) is not believed, nor an answer to another question:
    the time of sending that we give is random, and an answer has to repeat it (RFC 5905). `dns` is
    the address of a DNS server, as for mqboard.net.open_stream.
    """
    address = (await look_up(server, port, socket.SOCK_DGRAM, dns))[0]
    sock = socket.socket(*address[:3])
    try:
        sock.setblocking(False)
        sock.connect(address[-1])
        stamp = os.urandom(_STAMP)
        sock.write(_REQUEST + stamp)
        answer = await asyncio.wait_for(_receive(sock, stamp), _TIMEOUT_S)
    except asyncio.TimeoutError:
        raise OSError("no answer")
    finally:
        sock.close()
    seconds = struct.unpack_from(">I", answer, _TRANSMIT)[0] if len(answer) == _ANSWER else 0
    stratum = answer[1]  # 0: the server wants to be left alone
    if not seconds or not stratum or answer[0] & 7 != _SERVER or answer[0] >> 6 == _ALARM:
        raise OSError("no time in the answer")
    if not seconds & 0x80000000:
        seconds += 1 << 32  # from 2036 on
    unix_time = seconds - _FROM_1900
    if unix_time < floor:
        raise OSError("the answer is older than this firmware")
    set_time(unix_time)


def setting_clock(opener, untimely, link, server, floor, log):
    """Return an opener like `opener` that has the clock set when a wrong one was to blame.

    `untimely` is the exception that says so; `link` knows the DNS server (mqboard.net.wifi);
    `server`, `floor`: as for `set_clock`.
    """

    async def open_and_set_clock():
        try:
            return await opener()
        except untimely:
            try:
                await set_clock(server, floor, dns=link.dns())
                log.info("clock set by %s", server)
            except OSError as error:
                log.warning("no time from %s: %s", server, error)
            raise

    return open_and_set_clock


# async
def _receive(sock, stamp):
    while True:
        yield core._io_queue.queue_read(sock)
        answer = sock.recv(_ANSWER)
        if answer[_ORIGINATE : _ORIGINATE + _STAMP] == stamp:
            return answer

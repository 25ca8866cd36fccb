"""Answers every question for a name with one address, so that phones find the page (RFC 1035)."""

import asyncio
import socket
from asyncio import core

from micropython import const

_PORT = const(53)
_HEAD = const(12)
_MOST = const(512)
_TTL = b"\0\0\0\x05"


def reply(question, address):
    """Return the answer to `question`, or None when it is none that we answer; `address`: 4 bytes.

    One question, of class IN; for another type than A there is no record.
    """
    if not _HEAD < len(question) <= _MOST or question[2] & 0xF8 or question[4:6] != b"\0\1":
        return None
    end = _HEAD
    while end < len(question) and question[end]:
        if question[end] > 63:
            return None
        end += question[end] + 1
    end += 5
    if end > len(question) or question[end - 2 : end] != b"\0\1":
        return None
    is_a = question[end - 4 : end - 2] == b"\0\1"
    head = question[:2] + b"\x84\0\0\1\0" + (b"\1" if is_a else b"\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1" + _TTL + b"\0\4" + address if is_a else b""
    return head + question[_HEAD:end] + record


def is_near(peer, address, netmask):
    """Return whether `peer`, as a socket names it, is in the subnet of `address`; both are texts.

    To bind to an address keeps nobody away: lwIP takes what is for one of its addresses from any
    network that the board is in. An answer to somebody who only says that he is near goes there.
    """
    # The unix port's is a struct sockaddr_in.
    packed = _packed(peer[0]) if isinstance(peer, tuple) else bytes(peer[4:8])
    own, mask = _packed(address), _packed(netmask)
    return all([not (packed[i] ^ own[i]) & mask[i] for i in range(4)])


def _packed(address):
    return bytes([int(part) for part in address.split(".")])


async def serve(address, netmask):
    """Answer for ever with `address`, a text, whoever is in its subnet."""
    packed = _packed(address)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(socket.getaddrinfo(address, _PORT)[0][-1])
        while True:
            await _readable(sock)
            try:
                question, sender = sock.recvfrom(_MOST + 1)
                answer = reply(question, packed) if is_near(sender, address, netmask) else None
                if answer:
                    sock.sendto(answer, sender)
            except OSError:  # whoever asked is gone
                await asyncio.sleep(0)
    finally:
        sock.close()


# async
def _readable(sock):
    yield core._io_queue.queue_read(sock)

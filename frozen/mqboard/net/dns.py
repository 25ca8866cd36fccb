"""Looks up a name's IPv4 addresses without blocking: queries for A records (RFC 1035) over UDP.

getaddrinfo of an ESP32 blocks all tasks, for half a minute when no server answers.
"""

import asyncio
import os
import socket
from asyncio import core

from micropython import const

from mqboard.clock import within

_WAITS_S = (1, 2, 4)  # one query each
_SIZE = const(512)  # of an answer to a query without extensions, at most
_HEADER = const(12)
_ONE_QUESTION = b"\1\0\0\1\0\0\0\0\0\0"  # and please follow the aliases
_ADDRESS = b"\0\1\0\1"  # type A, class IN
_ADDRESS_6 = b"\0\x1c\0\1"  # type AAAA, class IN
_NO_SUCH_NAME = const(3)


async def look_up(host, port, kind, server):
    """Return what getaddrinfo has to say of `host`; it does not block where `server` is asked.

    `kind` is the socket's; `server` the address of a DNS server, or "". Raises OSError.
    """
    hosts = (host,)
    # The port knows addresses, names of the local network, and how to ask for those in .local.
    for_the_port = "." not in host or ":" in host or host.endswith(".local")
    if server and not for_the_port and not host.replace(".", "").isdigit():
        hosts = await resolve(host, (server,))
    try:
        return [each for one in hosts for each in socket.getaddrinfo(one, port, 0, kind)]
    except OSError:
        if ":" not in host:
            raise
        raise OSError("%s is an IPv6 address, and this port speaks IPv4 only" % host)


async def resolve(name, servers, port=53):
    """Return the IPv4 addresses of `name` as texts; ask `servers` (their addresses) in turn.

    Takes 8 s at most. Raises OSError: no such name, or what was wrong with the last answer.
    """
    question = make_question(name)
    for number, seconds in enumerate(_WAITS_S):
        server = servers[number % len(servers)]
        try:
            found = await within(seconds, _ask(question, server, port))
        except asyncio.TimeoutError:
            failure = "no answer from %s in %d s" % (server, seconds)
        except OSError as error:
            failure = "%s: %s" % (server, error)
        else:
            if found:
                return found
            if await _has_ipv6(question, server, port):
                failure = "%s has IPv6 addresses only, and we speak IPv4" % name
            else:
                failure = "no such name, or none with an IPv4 address: " + name
            break
    raise OSError("DNS: " + failure)


async def _has_ipv6(question, server, port):
    question = question[: -len(_ADDRESS)] + _ADDRESS_6
    try:
        return bool(await within(_WAITS_S[0], _ask(question, server, port)))
    except (OSError, asyncio.TimeoutError):
        return False


def make_question(name):
    """Make the question for the addresses of `name`; OSError when that cannot be a name."""
    question = b""
    for label in name.rstrip(".").lower().encode().split(b"."):
        if not 0 < len(label) < 64:
            raise OSError("DNS: %s is not a name" % name)
        question += bytes((len(label),)) + label
    return question + b"\0" + _ADDRESS


def addresses(answer, question):
    """Return the addresses in the answer to `question`, none for no such name; or OSError.

    They are numbers with dots, of IPv6, too: there it is enough to know that there are some.
    The records' names are only stepped over: the server has followed the aliases.
    """
    found = []
    whole = False
    kind = question[-len(_ADDRESS) :]
    size = 4 if kind == _ADDRESS else 16
    try:
        code = answer[3] & 15
        if code not in (0, _NO_SUCH_NAME):
            raise OSError("error %d" % code)
        at = _HEADER + len(question)
        if answer[2] < 128 or answer[4:6] + answer[_HEADER:at].lower() != b"\0\1" + question:
            raise OSError("not an answer to our question")
        for _ in range(answer[6] << 8 | answer[7]):
            while 0 < answer[at] < 64:
                at += 1 + answer[at]
            at += 2 if answer[at] else 1  # the name ends with a reference, or by itself
            data = at + 10
            end = data + (answer[at + 8] << 8 | answer[at + 9])
            if answer[at : at + 4] == kind and end == data + size <= len(answer):
                found.append(".".join([str(byte) for byte in answer[data:end]]))
            at = end
        whole = at <= len(answer) and not answer[2] & 2
    except IndexError:
        pass
    if not (whole or found):
        raise OSError("a truncated or malformed answer")
    return found


# async
def _ask(question, server, port):
    """Send one query; return what `addresses` makes of the answer to it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(socket.getaddrinfo(server, port)[0][-1])  # what others send is not for us
        mark = os.urandom(2)
        sock.write(mark + _ONE_QUESTION + question)
        while True:
            yield core._io_queue.queue_read(sock)
            answer = sock.recv(_SIZE)
            # After an empty datagram, a socket of the ESP32 reads nothing more.
            if answer[:2] == mark or not answer:
                return addresses(answer, question)
    finally:
        sock.close()

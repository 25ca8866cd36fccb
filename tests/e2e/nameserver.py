"""Runs a DNS server on loopback that answers, or misbehaves, as a test tells it to."""

import contextlib
import socket
import struct
import threading

_ANSWER = 0x8180  # to a query that wanted recursion, and had it
_A, _CNAME = 1, 5
NAME = b"\xc0\x0c"  # the name that was asked for, as a reference to the question


def record(data, kind=_A, name=NAME):
    """Make a resource record of class IN."""
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def alias(name, owner=NAME):
    """Make a CNAME record; both names as they are on the wire."""
    return record(name, _CNAME, owner)


def address(text, owner=NAME):
    """Make an A record."""
    return record(socket.inet_aton(text), _A, owner)


def answer(query, *records, flags=0, count=None):
    """Answer `query` with these records; `flags`: an error code and TC."""
    number = len(records) if count is None else count
    header = query[:2] + struct.pack(">HHHHH", _ANSWER | flags, 1, number, 0, 0)
    return header + query[12:] + b"".join(records)


class NameServer:
    """Listens at `host` on `port`, a free one by default.

    `replies` are functions query -> datagrams to send, one for each query in turn; the last one
    for all that follow. `queries` has what came, `sender` is the address of the last.
    """

    def __init__(self, *replies, host="127.0.0.1", port=0):
        self.queries = []
        self.sender = None
        self._replies = list(replies)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # not connected; and yet this wakes who receives
            self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            query, self.sender = self.socket.recvfrom(2048)
            if not query:
                return
            reply = self._replies[min(len(self.queries), len(self._replies) - 1)]
            self.queries.append(query)
            for datagram in reply(query):
                self.socket.sendto(datagram, self.sender)

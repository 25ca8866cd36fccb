"""Plays a broker for one client that does what MQTT 3.1.1 says and holds the client to it.

It keeps the session as the standard wants it, which mosquitto 2.0.11 does not: cut off twice while
it repeats PUBRELs it goes back to the PUBLISH of a message at QoS 2, and the client has to take it
for a new one. What the client does wrong is collected in `faults`; `taken` are the messages that a
subscriber would have got. The subscriptions are all granted, and not looked at.
"""

import contextlib
import socket
import struct
import threading

HOST = "127.0.0.1"
_IN_FLIGHT = 20
_FLAGS = {4: 0, 5: 0, 6: 2, 7: 0, 8: 2, 10: 2, 12: 0, 14: 0}


class Message:
    """A message on its way to the client."""

    def __init__(self, number, topic, payload, qos):
        self.number = number  # its packet id
        self.topic = topic.encode()
        self.payload = payload
        self.qos = qos
        self.sent = False
        self.released = False  # PUBREC came

    def packet(self):
        head = 0x30 | self.qos << 1 | (8 if self.sent else 0)
        body = struct.pack(">H", len(self.topic)) + self.topic
        body += struct.pack(">H", self.number) + self.payload
        self.sent = True
        return bytes((head,)) + _length(len(body)) + body


class StrictBroker:
    """Listens on a free loopback `port`. A new connection ends the old one."""

    def __init__(self):
        self.faults = []
        self.taken = []  # (topic, payload) in order
        self.connects = 0
        self.forget = False  # the session at the next connection
        self.refuses = None  # a payload at which it hangs up, with a reset
        self.hang_ups = 0
        self._waiting = []
        self._in_flight = []
        self._received = {}  # packet id -> (topic, payload) of QoS 2 that are not released
        self._session = False
        self._number = 0
        self._connection = None
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._threads = []
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end(self._connection)
        for thread in self._threads:
            thread.join()

    def publish(self, topic, payload, qos):
        """Send a message as soon as fewer than 20 are on their way."""
        with self._lock:
            self._number = self._number % 65535 + 1
            self._waiting.append(Message(self._number, topic, payload, qos))
            self._fill()

    def wait_empty(self, timeout):
        """Wait until the client has acknowledged everything; return whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_flight + self._waiting, timeout)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._serve, connection)

    def _end(self, connection):
        if connection:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError, EOFError):
            kind, body = _read(connection)
            if kind != 0x10 or body[:7] != b"\x00\x04MQTT\x04":
                return self._fault("the first packet is no CONNECT")
            with self._lock:
                self._end(self._connection)
                self._connection = connection
                self._connect(body[7] & 2)
            while True:
                kind, body = _read(connection)
                with self._lock:
                    if self._connection is not connection:
                        return None
                    self._take(kind, body)

    def _connect(self, clean):
        if clean or self.forget:
            self.forget = self._session = False
            self._received.clear()
            self._waiting = self._in_flight + self._waiting
            self._in_flight = []
        self._send(bytes((0x20, 2, self._session, 0)))
        self._session = not clean
        self.connects += 1
        for message in self._in_flight:
            self._send(_answer(0x62, message.number) if message.released else message.packet())
        self._fill()

    def _fill(self):
        while self._connection and self._waiting and len(self._in_flight) < _IN_FLIGHT:
            self._in_flight.append(self._waiting.pop(0))
            self._send(self._in_flight[-1].packet())

    def _send(self, data):
        with contextlib.suppress(OSError):
            self._connection.sendall(data)

    def _take(self, kind, body):
        if kind >> 4 == 3:
            return self._take_publish(kind, body)
        if _FLAGS.get(kind >> 4) != kind & 15:
            return self._fault(f"packet {kind:#x}")
        if kind == 0xC0:
            return self._send(b"\xd0\x00")
        if kind == 0xE0:
            return None
        (number,) = struct.unpack_from(">H", body)
        if kind == 0x82:
            return self._send(b"\x90\x03" + body[:2] + body[-1:])
        if kind == 0xA2:
            return self._send(_answer(0xB0, number))
        if kind == 0x62:
            if number in self._received:
                self.taken.append(self._received.pop(number))
            return self._send(_answer(0x70, number))
        return self._take_answer(kind, number)

    def _take_publish(self, kind, body):
        (size,) = struct.unpack_from(">H", body)
        topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
        qos = kind >> 1 & 3
        if not qos:
            self.taken.append((topic, rest))
            return
        number, message = struct.unpack_from(">H", rest)[0], (topic, rest[2:])
        if message[1] == self.refuses:
            return self._hang_up()
        if not number:
            self._fault("packet id 0")
        if qos == 1:
            self.taken.append(message)
            self._send(_answer(0x40, number))
            return
        if number in self._received and not kind & 8:
            self._fault(f"id {number} is in use, and this is no repetition")
        if self._received.setdefault(number, message) != message:
            self._fault(f"id {number} came with another message")
        self._send(_answer(0x50, number))

    def _hang_up(self):
        """Close the connection so that what was just acknowledged may not arrive."""
        self.hang_ups += 1
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise EOFError  # `_serve` closes it

    def _take_answer(self, kind, number):
        message = next((one for one in self._in_flight if one.number == number), None)
        if not message:
            # A PUBREC may well cross the PUBREL that is sent again; all else was asked for once.
            return self._send(_answer(0x62, number)) if kind == 0x50 else None
        expected = (0x40,) if message.qos == 1 else (0x50, 0x70) if message.released else (0x50,)
        if kind not in expected:
            return self._fault(f"{kind:#x} for a message at QoS {message.qos}")
        if kind == 0x50:
            message.released = True
            return self._send(_answer(0x62, number))
        self._in_flight.remove(message)
        self._fill()
        return self._changed.notify_all()

    def _fault(self, what):
        self.faults.append(what)


def _answer(kind, number):
    return struct.pack(">BBH", kind, 2, number)


def _length(value):
    data = b""
    while value > 127:
        data += bytes((value & 127 | 128,))
        value >>= 7
    return data + bytes((value,))


def _exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _read(connection):
    """Return the next packet: (first byte, body)."""
    (kind,) = _exactly(connection, 1)
    value = shift = 0
    while True:
        (byte,) = _exactly(connection, 1)
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return kind, _exactly(connection, value)

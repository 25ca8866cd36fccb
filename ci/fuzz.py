"""Feeds mutated MQTT packets to the on-board client's reader, by the million, on CPython.

    python -m ci.fuzz [CASES] [FIRST]

A case is a few packets of a corpus, mutated (bits flipped, bytes replaced, cut out, inserted,
repeated, lengths falsified), which arrive in pieces of random sizes and then end. The reader has to
end, too, with one of the errors that mean "this connection is over", and what the client keeps must
not grow. Each case depends on its number only, so that one that fails can be run again.
"""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from mqhost.paths import FROZEN, ROOT

# The on-board modules, and what of MicroPython they need on CPython.
for _folder in (FROZEN, ROOT / "tests" / "board" / "cpython"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from mqboard.mqtt import Client, MqttError, packet  # noqa: E402

_EXPECTED = (packet.PacketError, MqttError, EOFError, OSError)
_BUFFERS = (64, 300, 4608)  # sizes of receive buffers
_CASES_A_CLIENT = 500  # then what it keeps is looked at, and the next one begins
_MOST_KEPT = 1000  # items in all its lists, dicts and sets; 256 QoS 2 messages are its own bound
_STEPS_A_BYTE = 8  # of reader and writer, and some more
_HANG_SECONDS = 30
_INTERESTING = bytes((0, 1, 2, 3, 4, 0x20, 0x2B, 0x7F, 0x80, 0x81, 0xC0, 0xD0, 0xE0, 0xFE, 0xFF))


class Failure(AssertionError):
    """Raised when after a case something is not as it must be."""


@dataclass(frozen=True)
class Subject:
    """Who is fuzzed: the `corpus` of packets, what makes a client with a receive buffer of so many
    bytes, what has a client begin with a stream, and what has it read the answer to a CONNECT.
    """

    corpus: Callable[[], list[bytes]]
    client: Callable[[int], Client]
    attach: Callable[[Client, Any], None]
    introduce: Callable[[Client], Coroutine]


def run(
    cases: int,
    first: int = 0,
    progress: Callable[[int], None] = lambda done: None,
    subject: Subject | None = None,
) -> int:
    """Run so many cases, beginning with number `first`; returns how many were run. The `subject` is
    the client of 3.1.1 unless another is given.

    Raises Failure with the number of the case that failed.
    """
    subject = subject or OLD
    packets = subject.corpus()
    done = 0
    while done < cases:
        progress(done)
        number = first + done
        # Whole clients: a case meets the same one whichever was the first.
        start = number - number % _CASES_A_CLIENT
        client = subject.client(_BUFFERS[start // _CASES_A_CLIENT % len(_BUFFERS)])
        stop = min(start + _CASES_A_CLIENT, first + cases)
        with _no_hang(start):
            for case in range(start, stop):
                _run_case(case, client, packets, subject)
        _check_kept(client, stop - 1)
        done = stop - first
    return done


def corpus() -> list[bytes]:
    """Return packets as brokers send them; some also larger than our buffers."""
    answers = [b"\xd0\0", b"\x20\x02\0\0", b"\x20\x02\1\0", b"\x20\x02\0\x05"]
    for ident in (b"\0\1", b"\0\2", b"\0\3", b"\xff\xff"):
        answers += [bytes((kind, 2)) + ident for kind in (0x40, 0x50, 0x62, 0x70, 0xB0)]
        answers += [b"\x90\x03" + ident + code for code in (b"\0", b"\1", b"\x80")]
    topics = (b"a", b"a/b", b"plain/one", b"stream/one", b"nobody", "ä/ö".encode(), b"t" * 80)
    messages = []
    for number, topic in enumerate(topics):
        for qos in (0, 1, 2):
            for size in (0, 1, 20, 120, 290, 700):
                head = len(topic).to_bytes(2, "big") + topic
                ident = (number + 1).to_bytes(2, "big") if qos else b""
                for flags in (0, 1, 8) if qos else (0, 1):
                    body = head + ident + bytes(size)
                    messages.append(bytes((0x30 | qos << 1 | flags,)) + length(len(body)) + body)
    return answers * 4 + messages


def length(value: int) -> bytes:
    """Encode a remaining length."""
    buffer = bytearray(4)
    return bytes(buffer[: packet.put_length(buffer, 0, value)])


def data_of(case: int, packets: list[bytes]) -> tuple[bytes, Random]:
    """Return what arrives in this case, and the case's random numbers from there on."""
    random = Random(case)
    number = random.random
    data = bytearray()
    for _ in range(1 + int(number() * 5)):
        data += packets[int(number() * len(packets))]
    if number() < 0.06:  # more to acknowledge than is acknowledged at once
        for _ in range(int(number() * 90)):
            data += bytes((0x32 + 2 * int(number() * 2), 5, 0, 1, 0x61)) + random.randbytes(2)
    for _ in range(int(number() * 5)):
        if not data:
            break
        place = int(number() * len(data))
        if number() < 0.3:  # where most depends on a byte
            place = min(place, int(number() * 6))
        _MUTATIONS[int(number() * len(_MUTATIONS))](data, place, random, packets)
    return bytes(data), random


def _flip(data: bytearray, place: int, random: Random, _) -> None:
    data[place] ^= 1 << int(random.random() * 8)


def _replace(data: bytearray, place: int, random: Random, _) -> None:
    data[place] = _INTERESTING[int(random.random() * len(_INTERESTING))]


def _cut(data: bytearray, place: int, random: Random, _) -> None:
    del data[place : place + 1 + int(random.random() * 8)]


def _truncate(data: bytearray, place: int, *_) -> None:
    del data[place:]


def _insert(data: bytearray, place: int, random: Random, _) -> None:
    data[place:place] = random.randbytes(1 + int(random.random() * 8))


def _repeat(data: bytearray, place: int, random: Random, _) -> None:
    data[place:place] = data[place : place + 1 + int(random.random() * 64)]


def _splice(data: bytearray, place: int, random: Random, packets: list[bytes]) -> None:
    data[place:place] = packets[int(random.random() * len(packets))]


def _falsify(data: bytearray, place: int, random: Random, _) -> None:
    """Write another remaining length into the first packet: any, or one of four bytes and more."""
    if random.random() < 0.5:
        data[1:2] = length(int(268435455 ** random.random()))
    else:
        data[1:2] = b"\xff" * (1 + int(random.random() * 5))


_MUTATIONS = (_flip, _replace, _cut, _truncate, _insert, _repeat, _splice, _falsify)


class _Stream:
    """A stream (mqboard.mqtt.writer) that ends behind `data`, and takes all that is written."""

    def __init__(self, data: bytes, random: Random) -> None:
        self._data = data
        self._place = 0
        self._random = random.random
        # Everything at once, or pieces: at most so long, and some reads find nothing.
        self._most = int(len(data) ** self._random()) if self._random() < 0.6 else 0
        self.steps = 0
        self.allowed = 50 + _STEPS_A_BYTE * len(data)

    def readinto(self, view: memoryview) -> int | None:
        self.steps += 1
        if self.steps > self.allowed:
            raise Failure("it reads on and on")
        count = min(len(view), len(self._data) - self._place)
        if self._most:
            if self._random() < 0.1:
                return None
            count = min(count, 1 + int(self._random() * self._most))
        view[:count] = self._data[self._place : self._place + count]
        self._place += count
        return count

    def write(self, view: memoryview) -> int | None:
        self.steps += 1
        if self.steps > self.allowed:
            raise Failure("it writes on and on")
        if not self._most:
            return len(view)
        return int(self._random() * len(view)) + 1 if self._random() < 0.8 else None

    async def wait_readable(self) -> None:
        self.steps += 1

    wait_writable = wait_readable

    def wait_writable_now(self, timeout_ms: int) -> bool:
        return True

    def close(self) -> None:
        pass


def _client(rx_size: int) -> Client:
    """Make a client with subscriptions, and messages that wait for their acknowledgement."""

    async def opener() -> None:
        raise OSError

    async def make() -> Client:
        client = Client(opener, "fuzz", rx_size=rx_size)
        client.unmatched = lambda topic, payload, retained: bytes(payload)
        await client.subscribe("plain/#", lambda topic, payload, retained: payload[0])
        await client.subscribe("+/b", lambda topic, payload, retained: bytes(payload))
        await client.subscribe(
            "stream/#", lambda topic, piece, retained, at, total: bytes(piece), stream=True
        )
        for qos in (1, 2, 2):
            client.outbox.register("t", b"payload", qos, False, asyncio.Event(), None)
        return client

    return asyncio.run(make())


OLD = Subject(
    corpus,
    lambda rx_size: _client(rx_size),
    lambda client, stream: client.reader.attach(stream),
    lambda client: client.reader.read_connack(),
)


def _run_case(case: int, client: Client, packets: list[bytes], subject: Subject) -> None:
    data, random = data_of(case, packets)
    stream = _Stream(data, random)
    subject.attach(client, stream)
    try:
        if case % 8 == 0:
            _finish(subject.introduce(client), stream)
        _finish(client.reader.read_packets(client), stream)
    except _EXPECTED:
        return
    except Exception as error:
        raise Failure(f"case {case} ({data[:64].hex()}…): {error!r}") from error
    raise Failure(f"case {case} ({data[:64].hex()}…): the reader returned")


def _finish(coroutine, stream: _Stream) -> None:
    """Run a coroutine that never waits for anything but its turn."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration:
            return
        stream.steps += 1
        if stream.steps > stream.allowed:
            raise Failure("it waits on and on")


def _check_kept(client: Client, case: int) -> None:
    """Raise Failure if the client keeps more than it should after this case."""
    kept = 0
    for owner in (client, client.reader, client.writer, client.outbox):
        for value in vars(owner).values():
            if isinstance(value, (list, tuple, dict, set)):
                kept += len(value)
    if kept > _MOST_KEPT:
        raise Failure(f"by case {case} the client keeps {kept} items")


@contextmanager
def _no_hang(case: int) -> Iterator[None]:
    """Raise Failure if the block takes so long that it must be an endless loop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise Failure(f"one of the {_CASES_A_CLIENT} cases from {case} on does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Run the cases that the command line asks for."""
    cases, first = [*map(int, sys.argv[1:3]), *(20_000, 0)[len(sys.argv[1:3]) :]]
    done = run(cases, first)
    print(f"{done:,} cases, from {first} on: none failed.")


if __name__ == "__main__":
    main()

"""Feeds mutated packets of MQTT 5 to the on-board client's reader, as ci/fuzz.py does of 3.1.1.

python -m ci.fuzz5 [CASES] [FIRST]
"""

import asyncio
import struct
import sys

from ci import fuzz
from ci.fuzz import Failure, Subject, length
from mqboard.mqtt5 import Client
from mqboard.mqtt5 import packet as packet5
from mqboard.mqtt5 import properties as props

_MOST_BYTES = 8 * 4608  # of topics that aliases stand for: each fits the largest buffer
_IDENTS = (b"\0\1", b"\0\2", b"\0\3", b"\xff\xff")
_TEXT = "x" * 30


def _in(place: int) -> list[bytes]:
    """Return sets of properties as they stand in such packets, encoded: none, each, and all."""
    values = {ident: _value(ident) for ident in range(0x2B)}
    known = {ident: value for ident, value in values.items() if props._kind(ident, place)}
    # Those of authentication we never send: they are bytes here.
    other = b"\x15\0\1a\x16\0\1b" if place == props.IN_CONNACK else b""
    sets = [props.encode({ident: value}, place) for ident, value in known.items() if value != ()]
    known = {ident: value for ident, value in known.items() if value != ()}
    everything = props.encode(known, place)
    _, start = props.read_length(everything, 0, len(everything))
    whole = everything[start:] + other
    return [b"\0", *sets, length(len(whole)) + whole]


def _value(ident: int):
    """Return a value for a property."""
    kind = chr(props._KINDS[ident])
    if ident in (0x15, 0x16):
        return ()
    return {"s": _TEXT, "d": b"\0\xff", "p": [("k", "v"), ("k", "")]}.get(kind, 1)


def corpus() -> list[bytes]:
    """Return packets as brokers of MQTT 5 send them; some also larger than our buffers."""
    answers = [b"\xd0\0", b"\xe0\0", b"\xe0\1\x8b", b"\x20\x02\0\1", b"\x20\x03\0\x84\0"]
    for given in _in(props.IN_CONNACK):
        answers += [_frame(0x20, head + given) for head in (b"\0\0", b"\1\0", b"\0\x87", b"\0\x9c")]
    for given in _in(props.IN_DISCONNECT):
        answers += [_frame(0xE0, code + given) for code in (b"\0", b"\x8e", b"\x95", b"\x9d")]
    for ident in _IDENTS:
        for kind in (0x40, 0x50, 0x62, 0x70):
            answers += [_frame(kind, ident), _frame(kind, ident + b"\x10")]
            for given in _in(props.IN_ANSWER):
                answers += [_frame(kind, ident + code + given) for code in (b"\0", b"\x97")]
        for given in _in(props.IN_ANSWER):
            answers += [_frame(0x90, ident + given + code) for code in (b"\1", b"\x87")]
            answers.append(_frame(0xB0, ident + given + b"\0"))
    return answers + _messages()


def _messages() -> list[bytes]:
    messages = []
    topics = ("a", "a/b", "plain/one", "stream/one", "nobody", "ä/ö", "t" * 80, "")
    for number, topic in enumerate(topics):
        name = struct.pack(">H", len(topic.encode())) + topic.encode()
        for qos in (0, 1, 2):
            ident = struct.pack(">H", number + 1) if qos else b""
            for given in [*_in(props.IN_PUBLISH), *_aliases(), _long()]:
                for size in (0, 20, 290, 700):
                    body = name + ident + given + bytes(size)
                    messages.append(_frame(0x30 | qos << 1 | (8 if qos and size else 0), body))
    return messages


def _aliases() -> list[bytes]:
    return [props.encode({props.TOPIC_ALIAS: alias}, props.IN_PUBLISH) for alias in (1, 2, 8, 9)]


def _long() -> bytes:
    return props.encode({props.USER: [("", "")] * 60}, props.IN_PUBLISH)


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + length(len(body)) + body


def _client(rx_size: int) -> Client:
    """Make a client with subscriptions, and messages that wait for their acknowledgement."""

    async def opener() -> None:
        raise OSError

    async def make() -> Client:
        client = Client(opener, "fuzz", rx_size=rx_size)
        client.unmatched = lambda topic, payload, retained: bytes(payload)
        await client.subscribe("plain/#", lambda *message: message[1][0], properties=True)
        await client.subscribe("+/b", lambda topic, payload, retained: bytes(payload))
        await client.subscribe("stream/#", lambda *message: None, stream=True, properties=True)
        for qos in (1, 2, 2):
            client.outbox.register("t", b"payload", qos, False, asyncio.Event(), None)
        return client

    return asyncio.run(make())


def _attach(client: Client, stream) -> None:
    _check_bytes(client)
    client._begin(5, stream)


def _check_bytes(client: Client) -> None:
    """Raise Failure if the topics behind aliases take more room than they may."""
    kept = sum(len(topic) for topic in client._names.values())
    if len(client._names) > client.alias_maximum or kept > _MOST_BYTES:
        raise Failure(f"{len(client._names)} aliases of {kept} bytes are kept")


async def _introduce(client: Client) -> None:
    body, stop = await client.reader.read_first()
    client.session_present, code, found = packet5.read_connack(client.reader.buffer, body, stop)
    if code:
        client._send_on(code, found)
    else:
        client._take_grants(found)


SUBJECT = Subject(corpus, _client, _attach, _introduce)


def main() -> None:
    """Run the cases that the command line asks for."""
    cases, first = [*map(int, sys.argv[1:3]), *(20_000, 0)[len(sys.argv[1:3]) :]]
    done = fuzz.run(cases, first, subject=SUBJECT)
    print(f"{done:,} cases, from {first} on: none failed.")


if __name__ == "__main__":
    main()

"""Measures what an update costs: bytes, seconds, and its throughput against the machine's own.

Each run takes a new board: the image goes into an empty slot, so that every block is sent. The raw
limits take turns with it, each with the same block messages published through the same connection
class to the same broker:

    count     made while they are sent, as an update makes them; the client only counts bytes
    prepared  made before, so that nothing but the wire is left; the client only counts bytes
    decode    made before; the client inflates and hashes every block, which no receiver of blocks
              can do without
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ci.bench import Figure, median
from ci.bench.raw import client, extract, read_line
from ci.bench.rig import NEXT_VERSION, PREFIX, Rig
from ci.bench.update import transfers
from mqhost.build.build import BuildResult
from mqhost.link.connection import Connection
from mqhost.link.session import Session
from mqhost.signing.offer import block_count, load_image
from mqhost.update.blocks import Encoder
from mqhost.update.push import UpdateResult, push
from mqwire import blocks_topic

_IDENT = "rawlimit"  # as long as a command's id: the topics have the same length


@dataclass(frozen=True)
class Run:
    """One update: its result, and the seconds from the first block's message to the last write."""

    result: UpdateResult
    transfer: float


def measure(rig: Rig) -> dict[str, Figure]:
    """bytes: MQTT payload bytes sent for an update to the same firmware with another version, its
    blocks deflated; full_ratio is the same over the image's size.
    seconds: the whole update, from the first question to the board to its confirmation; of this the
    board takes 2 s of calm before it calls itself healthy.
    throughput_mb_s: the block messages' payload bytes over the seconds from the first one published
    to the last block written into flash; its limit is that of the raw client, to the last byte
    received.
    throughput_ratio: the one over the other, the median of the runs' ratios: what is left of the
    sender's pace when a board receives instead of a counter.
    wire_ratio: the same against the prepared messages; its limit is the ratio that the raw client
    reaches when it decodes them: nothing is written, no credit is waited for.
    """
    runs = 3 if rig.quick else 7
    image = rig.firmware(NEXT_VERSION)
    app = image.app.read_bytes()
    prepared = list(_messages(app))
    size = sum(map(len, prepared))
    updates, limits, wires, decodes = [], [], [], []
    for done in range(runs):
        rig.progress("measuring update", done, runs)
        limits.append(_raw_seconds(rig, "count", prepared, _messages(app)))
        wires.append(_raw_seconds(rig, "count", prepared, prepared))
        decodes.append(_raw_seconds(rig, "decode", prepared, prepared))
        updates.append(_update(rig, image, app))
    megabytes = size / 1e6
    speed = median(megabytes / run.transfer for run in updates)
    limit = median(megabytes / seconds for seconds in limits)
    ratio = median(raw / run.transfer for raw, run in zip(limits, updates, strict=True))
    wire = median(raw / run.transfer for raw, run in zip(wires, updates, strict=True))
    bound = median(raw / decode for raw, decode in zip(wires, decodes, strict=True))
    sent = median(run.result.bytes_sent for run in updates)
    return {
        "bytes": Figure(sent, "B", runs),
        "full_ratio": Figure(round(sent / len(app), 4), "of image", runs, aim=0.75),
        "seconds": Figure(median(run.result.seconds for run in updates), "s", runs),
        "throughput_mb_s": Figure(speed, "MB/s", runs, limit),
        "throughput_ratio": Figure(ratio, "of raw", runs, 1, aim=0.6, at_least=True),
        "wire_ratio": Figure(wire, "of raw", runs, bound),
    } | transfers.measure(rig, sent)


def _update(rig: Rig, image: BuildResult, app: bytes) -> Run:
    """Update a new board to `image`."""
    offer, _ = load_image(image.app)
    with rig.board() as board:
        started = _note_first_block(board.session)
        result = push(board.session, offer, app, full=True)
    assert result.blocks_sent == result.blocks_total == offer.count, result
    assert board.saw["writes"] == offer.count, board.saw
    return Run(result, (board.saw["last_write"] - started[0]) / 1e9)


def _note_first_block(session: Session) -> list[int]:
    """Return a list that gets the time.time_ns() at which the session publishes its first block."""
    publish = session.connection.publish
    times: list[int] = []
    start = blocks_topic(session.prefix, "")

    def timed(topic: str, payload: bytes, qos: int = 1):
        if not times and topic.startswith(start):
            times.append(time.time_ns())
        return publish(topic, payload, qos)

    session.connection.publish = timed  # type: ignore[method-assign]
    return times


def _messages(app: bytes) -> Iterator[bytes]:
    """Return the block messages of a whole image, each made when it is asked for."""
    return (payload for payload, _ in Encoder(app).messages(range(block_count(len(app)))))


def _raw_seconds(
    rig: Rig, kind: str, expected: Iterable[bytes], messages: Iterable[bytes]
) -> float:
    """Return the seconds from the first of `messages` published until the raw client has done all.

    `kind` is what it does with them: "count" or "decode". `expected` are the same, to be counted.
    """
    topic = blocks_topic(PREFIX, _IDENT)
    program = extract(rig.firmware().app, rig.folder)
    size = sum(_packet_size(topic, message) for message in expected)
    connection = Connection(rig.settings)
    connection.connect()
    try:
        with client(program, str(rig.broker.port), kind, topic, str(size)) as process:
            started = time.time_ns()
            for message in messages:
                connection.publish(topic, message, qos=0)
            return (int(read_line(process)) - started) / 1e9
    finally:
        connection.close()


def _packet_size(topic: str, payload: bytes) -> int:
    """Return the bytes of the MQTT packet that brings `payload` to a subscriber at QoS 0."""
    remaining = 2 + len(topic) + len(payload)
    return 1 + (1 if remaining < 128 else 2 if remaining < 16384 else 3) + remaining

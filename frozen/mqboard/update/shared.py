"""Fetches the request of a broadcast: many boards are told the same update on one topic.

    update {"stream": T} -> subscribe to T/offer -> the request that is retained there

T ends with a name made of the request's SHA-256. So whoever may command this board decides what it
is offered, and not whoever may write to T.
"""

import asyncio
import binascii
import hashlib
import json

from micropython import const

import mqwire
from mqboard.update.errors import Refusal
from mqboard.update.offer import check_blocks_topic
from mqwire import update as wire

_PATIENCE_S = const(3)
_ATTEMPTS = const(2)  # each has the broker send what it retains


def stream_of(request):
    """Return the topic of the broadcast that a request for an update names, "" if it names none."""
    try:
        offer, _, options = wire.unpack_request(request.body)
        stream = "" if len(offer) else json.loads(str(options, "utf-8")).get("stream")
        if stream:
            check_blocks_topic(stream, request.prefix)
    except (mqwire.WireError, ValueError, AttributeError, TypeError, RuntimeError) as error:
        raise Refusal(wire.MALFORMED, str(error))
    return stream or ""


async def fetch(stream, subscribe, unsubscribe, patience_s=_PATIENCE_S):
    """Return the request of the broadcast on the topic `stream`; raise Refusal."""
    topic = stream + wire.STREAM_OFFER
    arriving = _Arriving()
    try:
        for _ in range(_ATTEMPTS):
            await subscribe(topic, arriving.take, stream=True)
            try:
                await asyncio.wait_for(arriving.whole.wait(), patience_s)
                break
            except asyncio.TimeoutError:
                pass
        else:
            raise Refusal(wire.MALFORMED, "no offer came on " + topic)
    finally:
        await unsubscribe(topic)
    digest = hashlib.sha256(arriving.body).digest()
    if stream.split("/")[-1] != wire.stream_name(binascii.b2a_base64(digest)):
        raise Refusal(wire.MALFORMED, "the offer on %s is not the one that it is named for" % topic)
    return arriving.body


class _Arriving:
    """Puts a request together from the pieces of its message."""

    def __init__(self):
        self.body = b""
        self.whole = asyncio.Event()

    def take(self, topic, view, retained, position, total):
        """Take a piece, inside the MQTT reader."""
        if self.whole.is_set() or not 0 < total <= mqwire.MAX_BODY:
            return
        if not position:
            self.body = bytearray(total)
        if len(self.body) == total:  # and not the rest of one whose beginning we had no memory for
            self.body[position : position + len(view)] = view
            if position + len(view) == total:
                self.whole.set()

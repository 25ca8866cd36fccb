"""Tests what a broadcast is made of: its request, the topic named for it, who may listen."""

import hashlib
import json
from types import SimpleNamespace

import pytest
from pushing import offer_for

from mqhost.fleet.cast.listener import can_listen
from mqhost.fleet.cast.offers import Offers
from mqhost.fleet.cast.stream import Stream
from mqwire import names
from mqwire.update import STREAM_OFFER, unpack_request

APP = bytes(range(256)) * 40
ONLINE = {"state": "online", "protocol": 3, "slot_state": "valid", "image": "00"}


def test_the_request_is_an_update_request_and_the_command_only_names_the_stream():
    stream = Stream(offer_for(APP), APP, b"base", retry_failed=True)
    offer, signature, options = unpack_request(stream.request)
    assert bytes(offer) == offer_for(APP).to_bytes()
    assert bytes(signature) == offer_for(APP).signature
    base = hashlib.sha256(b"base").hexdigest()
    assert json.loads(bytes(options)) == {"base": base, "retry_failed": True}
    offer, signature, options = unpack_request(stream.command())
    assert (bytes(offer), bytes(signature)) == (b"", b"")
    assert json.loads(bytes(options)) == {"stream": stream.topic}
    assert len(stream.command()) < 80


def test_an_offer_stays_while_one_of_two_broadcasts_goes_on():
    sent = []
    connection = SimpleNamespace(publish=lambda topic, payload, retain: sent.append(payload))
    offers, stream = Offers(connection), Stream(offer_for(APP), APP)
    offers.begin(stream)
    offers.begin(stream)
    offers.again(stream)
    offers.end(stream)
    assert sent == [stream.request] * 3
    offers.end(stream)
    assert sent[3:] == [b""]


def test_the_topic_is_named_for_the_request_and_one_that_boards_take():
    one, same = Stream(offer_for(APP), APP), Stream(offer_for(APP), APP)
    others = Stream(offer_for(APP), APP, b"base"), Stream(offer_for(APP), APP, retry_failed=True)
    assert one.topic == same.topic
    assert len({one.topic, *(other.topic for other in others)}) == 3
    assert one.topic.startswith("mqboard/mqb/blocks/")
    assert one.offer_topic == one.topic + STREAM_OFFER
    names.check_topic(one.offer_topic)
    assert Stream(offer_for(APP), APP, root="küche").topic.startswith("küche/mqb/blocks/")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "offline"},
        {"protocol": 2},
        {"protocol": "3"},
        {"protocol": None},
        {"slot_state": "pending-verify"},
        {"image": "ff"},
        {"twin": "aabb"},
    ],
)
def test_a_board_that_cannot_listen_is_pushed_to_alone(changes):
    assert can_listen(ONLINE, "ff")
    assert not can_listen(ONLINE | changes, "ff")


def test_a_board_that_nobody_knows_cannot_listen():
    assert not can_listen(None, "ff")

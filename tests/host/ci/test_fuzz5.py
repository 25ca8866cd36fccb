"""Runs a part of the fuzz of the reader of MQTT 5, and tests that it would notice faults."""

import pytest

from ci import fuzz, fuzz5
from mqboard.mqtt5 import properties as props

CASES = 4000  # of the hundred thousand that invoke bench runs


def run(cases):
    return fuzz.run(cases, subject=fuzz5.SUBJECT)


def test_mutated_packets_end_the_connection_and_nothing_else():
    assert run(CASES) == CASES


def test_properties_beyond_their_packet_would_be_noticed(monkeypatch):
    def careless(buffer, start, stop, place, found=None):
        return buffer[stop + 4608]

    monkeypatch.setattr(props, "decode", careless)
    with pytest.raises(fuzz.Failure, match=r"case \d+ .*IndexError"):
        run(100)


def test_aliases_that_grow_would_be_noticed():
    client = fuzz5._client(64)
    client._names = {number: b"topic" for number in range(client.alias_maximum + 1)}
    with pytest.raises(fuzz.Failure, match="9 aliases of 45 bytes"):
        fuzz5._attach(client, None)

"""Tests the air between simulated radios: who hears whom, and what gets lost."""

import contextlib

import pytest
from waiting import wait_until

from mqhost.sim import air as air_module
from mqhost.sim.air import RECORD, Air
from mqhost.sim.radio import AccessPoint, Radio

ONE, OTHER, THIRD = (b"\x24\x0a\xc4\0\0" + bytes((last,)) for last in (1, 2, 3))
EVERYBODY = b"\xff" * 6


class Chip:
    """One radio, and what it heard: (kind, address, result or signal, frame)."""

    def __init__(self, air, mac, channel=1):
        self.channel = channel
        self.station = air.enter(mac, lambda: self.channel)
        self.say(air_module.ON)

    def say(self, kind, mac=bytes(6), frame=b""):
        self.station.theirs.send(RECORD.pack(kind, mac, bytes(16), 0, len(frame), frame))

    def send(self, mac, frame):
        """Send a frame; return whether it arrived, as the radio is told."""
        self.say(air_module.SEND, mac, frame)
        return wait_until(lambda: self.next(air_module.RESULT))[2] == 1

    def next(self, kind):
        """Return what it is told next, if that is of this kind."""
        with contextlib.suppress(BlockingIOError):
            got, mac, _, signal, size, frame = RECORD.unpack(self.station.theirs.recv(RECORD.size))
            assert got == kind
            return got, mac, signal, frame[:size]
        return None

    def heard(self):
        """Return all frames that came."""
        frames = []
        while found := self.next(air_module.FRAME):
            frames.append(found[3])
        return frames


@pytest.fixture
def air():
    with Air() as running:
        yield running


def test_a_frame_comes_to_its_address_on_its_channel(air):
    one, other, third = Chip(air, ONE), Chip(air, OTHER), Chip(air, THIRD)
    wait_until(lambda: one.send(OTHER, b"first"))  # as soon as the other one is on
    assert other.heard() == [b"first"] and third.heard() == []
    assert one.send(EVERYBODY, b"all")
    assert other.heard() == third.heard() == [b"all"]
    other.channel = 6
    assert not one.send(OTHER, b"second")
    assert one.send(EVERYBODY, b"to whom it may concern")
    assert other.heard() == []
    one.channel = 6
    assert one.send(OTHER, b"third")
    assert other.heard() == [b"third"]


def test_nobody_hears_a_radio_that_is_off_or_gone(air):
    one, other = Chip(air, ONE), Chip(air, OTHER)
    wait_until(lambda: one.send(OTHER, b"x"))
    one.channel = other.channel = 0
    assert not one.send(OTHER, b"x")
    one.channel = other.channel = 1
    other.say(air_module.OFF)
    wait_until(lambda: not one.send(OTHER, b"x"))
    other.say(air_module.ON)
    wait_until(lambda: one.send(OTHER, b"x"))
    air.leave(other.station)
    assert not one.send(OTHER, b"x")


def test_frames_get_lost_come_twice_and_overtake_each_other(air):
    one, other = Chip(air, ONE), Chip(air, OTHER)
    wait_until(lambda: one.send(OTHER, b"x"))
    other.heard()
    air.loss = 0.3
    arrived = sum(one.send(OTHER, b"x") for _ in range(200))
    heard = len(other.heard())
    assert 0 < arrived < heard < 200 and air.lost == 200 - heard
    air.loss, air.double = 0.0, 0.3
    assert all(one.send(OTHER, b"x") for _ in range(100))
    assert 100 < len(other.heard()) < 200
    air.double, air.reorder = 0.0, 0.3
    sent = [b"%d" % number for number in range(50)]
    assert all(one.send(OTHER, each) for each in sent)
    came = []
    wait_until(lambda: came.extend(other.heard()) or len(came) >= 50)
    assert came != sent and sorted(came) == sorted(sent)


def test_a_station_is_on_the_channel_of_its_access_point():
    radio = Radio({"net": AccessPoint(channel=6)})
    radio.set_active(True)
    radio.tuned = 3
    assert radio.channel == 3
    radio.connect(("net", ""))
    wait_until(lambda: radio.connected)
    assert radio.channel == 6
    radio.change("net", in_reach=False)
    assert radio.channel == 3
    radio.reset()
    assert radio.channel == 1

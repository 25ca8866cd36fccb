"""Tests that a target resets its bridge by the wire when that has been silent for long."""

import asyncio
import unittest

import mqlink
from fakes import run, until


class Wire:
    """The pin at the bridge's EN: notes its levels."""

    def __init__(self):
        self.levels = []

    def value(self, level):
        self.levels.append(level)


class TestReset(unittest.TestCase):
    def watched(self, up):
        """Return the levels of the wire after a while without a word, or with an `up` link."""
        wire = Wire()

        async def go():
            link = mqlink.Link(None, reset=wire, reset_s=1)
            link.up = up
            watch = asyncio.create_task(link._watch())
            try:
                if up:
                    await asyncio.sleep(1.5)
                else:
                    await until(lambda: wire.levels[-1:] == [1])
            finally:
                watch.cancel()

        run(go())
        return wire.levels

    def test_a_silent_bridge_is_reset_by_a_short_pulse(self):
        self.assertEqual(self.watched(up=False)[:2], [0, 1])

    def test_one_that_is_there_is_left_alone(self):
        self.assertEqual(self.watched(up=True), [])

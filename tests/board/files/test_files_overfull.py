"""Tests what is said and done where LittleFS tells that less than nothing is free."""

import os
import unittest

from mqboard.apps import stage
from mqboard.files import room
from mqboard.files.errors import Fault

BLOCKS = 240
OVERFULL = (1 << 32) - 2  # two blocks fewer than none


class _Os:
    """Stands for `os` of a full filesystem."""

    def __getattr__(self, name):
        return getattr(os, name)

    def statvfs(self, path):
        return (4096, 4096, BLOCKS, OVERFULL, OVERFULL, 0, 0, 0, 0, 255)


class OverfullTest(unittest.TestCase):
    def test_nothing_is_free_where_more_is_used_than_there_is(self):
        stage.os = room.os = _Os()
        clear, room.clear = room.clear, lambda *_: False
        try:
            self.assertEqual(stage.free_bytes(), 0)
            with self.assertRaises(Fault) as raised:
                room.Room("/").take(1, [])
            self.assertEqual(raised.exception.facts["error"], "ENOSPC")
            self.assertEqual(raised.exception.facts["free"], 0)
        finally:
            stage.os = room.os = os
            room.clear = clear

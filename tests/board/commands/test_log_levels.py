"""Tests the command `log`: what it tells of loggers, and how it changes their levels."""

import json
import unittest

from fakes import run

from mqboard.commands.log import answer
from mqboard.log import Logger, set_levels


class Board:
    class config:
        level = "info"
        levels = {"mqtt": "error"}

    class console:
        dropped = 3


class Request:
    """Keeps what it is answered with."""

    def __init__(self, body):
        self.body = bytearray(body)
        self.text = None
        self.failure = None

    async def reply(self, data):
        self.text = data

    async def error(self, text):
        self.failure = text


class LogCommandTest(unittest.TestCase):
    def setUp(self):
        self.kept = Logger.levels
        Logger.levels = {}
        for name in ("board", "mqtt"):
            Logger(name)
        set_levels("info", Board.config.levels)

    def tearDown(self):
        Logger.levels = self.kept
        set_levels("info", {})

    def ask(self, wish=None):
        """Return (level, levels) of the answer, or the error's text."""
        request = Request(b"" if wish is None else json.dumps(wish).encode())
        run(answer(Board, request))
        if request.failure:
            return str(request.failure, "utf-8")
        said = json.loads(request.text)
        self.assertEqual(said.pop("dropped"), 3)
        self.assertEqual(sorted(said), ["level", "levels"])
        return said["level"], said["levels"]

    def test_it_tells_the_loggers_and_their_levels(self):
        self.assertEqual(self.ask(), ("info", {"board": None, "mqtt": "error"}))

    def test_levels_change_and_go_back_to_the_configuration(self):
        wishes = (
            ({"level": "debug"}, ("debug", {"board": None, "mqtt": "error"})),
            ({"levels": {"mqtt": "debug"}}, ("debug", {"board": None, "mqtt": "debug"})),
            ({"levels": {"board": "warning"}}, ("debug", {"board": "warning", "mqtt": "debug"})),
            ({"levels": {"mqtt": None}}, ("debug", {"board": "warning", "mqtt": "error"})),
            ({"levels": {"board": None}}, ("debug", {"board": None, "mqtt": "error"})),
            (
                {"levels": {"later": "debug"}},
                ("debug", {"board": None, "mqtt": "error", "later": "debug"}),
            ),
            (
                {"level": None, "levels": None},
                ("info", {"board": None, "mqtt": "error", "later": None}),
            ),
        )
        for wish, expected in wishes:
            self.assertEqual(self.ask(wish), expected)
        self.assertEqual((Logger.level, Logger.levels["mqtt"]), (1, 3))

    def test_what_makes_no_sense_changes_nothing(self):
        before = self.ask()
        for wish, words in (
            ({"level": "loud"}, "'loud' is no level; there are debug, info"),
            ({"level": 3}, "3 is no level"),
            ({"levels": {"mqtt": "x", "board": "debug"}}, "'x' is no level"),
            ({"levels": {"n" * 65: "debug"}}, "so long a name"),
            ({"levels": 5}, "log: "),
            ([], "log: "),
            (5, "log: "),
        ):
            self.assertIn(words, self.ask(wish))
        request = Request(b"nonsense")
        run(answer(Board, request))
        self.assertTrue(request.failure.startswith(b"log: "))
        self.assertEqual(self.ask(), before)

    def test_the_heap_is_not_filled_with_names(self):
        self.ask({"levels": {"logger %d" % number: "debug" for number in range(100)}})
        self.assertEqual(len(Logger.levels), 32)


if __name__ == "__main__":
    unittest.main()

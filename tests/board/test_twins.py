"""Tests how boards with one prefix notice each other, each a `Twins` on a broker that is a list."""

import json
import unittest

from fakes import FakeLog, run

import mqwire
from mqboard.twins import Twins
from mqwire.twins import MAX_ID, UNKNOWN

PREFIX = "esp32/test"


class Me:
    """What Twins needs of an Identity."""

    twin = None

    def __init__(self, name):
        self.id = name


class Settings:
    prefix = PREFIX


class FakeBoard:
    """A board whose births go to `wire`; it is also its own client, router and supervisor."""

    def __init__(self, name, wire):
        self.identity = Me(name)
        self.config = Settings()
        self.log = FakeLog()
        self.supervisor = self.client = self.router = self
        self.wire = wire
        self.tasks = []
        self.filters = {}
        self.commands = []
        self.twins = Twins(self)

    def announce(self):
        birth = {"state": "online", "id": self.identity.id}
        if self.identity.twin:
            birth["twin"] = self.identity.twin
        self.wire.append((self, birth))

    def leave(self):
        self.wire.append((self, {"state": "offline", "id": self.identity.id}))

    def add(self, name, start, vital=True):
        self.tasks.append(start)

    async def subscribe(self, topic_filter, handler):
        self.filters[topic_filter] = handler

    def on_message(self, topic, payload, retained):
        self.commands.append(topic)


def settle(wire, boards):
    """Hand each status to the boards that did not say it; return how many there were."""
    count = 0
    while wire:
        count += 1
        assert count < 100, "they never stop"
        sender, status = wire.pop(0)
        for board in boards:
            if board is not sender:
                board.twins.hear(json.dumps(status).encode())
    return count


def make(*names):
    wire = []
    boards = [FakeBoard(name, wire) for name in names]
    return wire, boards


class TwinsTest(unittest.TestCase):
    def test_two_boards_learn_of_each_other_whoever_comes_first(self):
        for first in (0, 1):
            wire, boards = make("aa", "bb")
            boards[first].announce()
            settle(wire, boards)
            self.assertEqual([board.identity.twin for board in boards], ["bb", "aa"])

    def test_both_at_once(self):
        wire, boards = make("aa", "bb")
        for board in boards:
            board.announce()
        self.assertTrue(settle(wire, boards) < 10)
        self.assertEqual([board.identity.twin for board in boards], ["bb", "aa"])

    def test_one_that_comes_back_and_forgot_the_other_is_told_again(self):
        wire, boards = make("aa", "bb")
        boards[0].announce()
        settle(wire, boards)
        boards[0].identity.twin = None  # connected anew
        boards[0].announce()
        settle(wire, boards)
        self.assertEqual([board.identity.twin for board in boards], ["bb", "aa"])

    def test_it_is_logged_once(self):
        wire, boards = make("aa", "bb")
        for _ in range(3):
            boards[0].identity.twin = None
            boards[0].announce()
            settle(wire, boards)
        self.assertEqual(len(boards[0].log.lines), 1)
        self.assertIn("board bb has our prefix esp32/test, too; we are aa", boards[0].log.lines[0])

    def test_one_that_leaves_is_forgotten_and_the_status_is_again_that_of_the_other(self):
        wire, boards = make("aa", "bb")
        boards[0].announce()
        settle(wire, boards)
        boards[1].leave()
        settle(wire, boards[:1])
        self.assertIsNone(boards[0].identity.twin)

    def test_three_come_to_rest_and_each_knows_one(self):
        wire, boards = make("aa", "bb", "cc")
        for board in boards:
            board.announce()
        settle(wire, boards)
        for board in boards:
            self.assertTrue(board.identity.twin not in (None, board.identity.id))
        boards[0].leave()
        settle(wire, boards[1:])
        self.assertEqual([board.identity.twin for board in boards[1:]], ["cc", "bb"])

    def test_a_board_with_older_firmware_has_no_id(self):
        wire, (board,) = make("aa")
        board.twins.hear(b'{"state": "online", "boot_id": "1"}')
        self.assertEqual(board.identity.twin, UNKNOWN)
        board.twins.hear(b'{"state": "offline", "reason": "connection lost"}')
        self.assertIsNone(board.identity.twin)
        self.assertEqual(len(wire), 2)

    def test_our_own_will_or_nonsense_is_answered_with_how_we_are(self):
        for payload in (
            b'{"state": "offline", "id": "aa"}',
            b'{"state": "online", "id": "aa"}',
            b"",
            b"\xff",
            b"[]",
            b"null",
            b'{"state": 5}',
            b"[" * 3000,
        ):
            wire, (board,) = make("aa")
            board.twins.hear(payload)
            self.assertEqual((len(wire), board.identity.twin), (1, None))

    def test_an_id_of_whatever_kind_is_a_short_text(self):
        for value in ("x" * 1000, 5, None, ["x" * 1000], {"a": 1}):
            _, (board,) = make("aa")
            board.twins.hear(json.dumps({"state": "online", "id": value}).encode())
            self.assertTrue(isinstance(board.identity.twin, str))
            self.assertTrue(len(board.identity.twin) <= MAX_ID)

    def test_commands_for_it_alone_go_the_way_of_all_commands(self):
        wire, (board, other) = make("aa", "bb")
        other.announce()
        settle(wire, (board, other))
        run(board.tasks[0]())
        ((topic_filter, handler),) = board.filters.items()
        self.assertEqual(topic_filter, "esp32/test/mqb/id/aa/mqb/cmd/#")
        handler("esp32/test/mqb/id/aa/mqb/cmd/info/12345678", b"\x80\0", False)
        self.assertEqual(board.commands, [mqwire.command_topic(PREFIX, "info", "12345678")])

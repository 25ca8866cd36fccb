"""Tests how what a board sends of a file is put together, in whatever order it comes."""

import itertools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from mqhost.link.exchange import Message
from mqhost.remote.getting import Wanted, get_all
from mqwire import files as wire

DATA = [bytes([number]) * 100 for number in range(3)]
BODIES = [bytes([wire.DATA]) + data for data in DATA]
BODIES.append(bytes([wire.END]) + wire.pack_end(300, 5, True))


class Board:
    """A session with a board that answers each command with the next of `orders`, numbers of its
    messages."""

    def __init__(self, *orders):
        self.settings = SimpleNamespace(timeout=1)
        self.connection = SimpleNamespace(
            generation=1, connected=True, wait_connected=lambda seconds: True
        )
        self.births = 1
        self.asked = 0
        self._orders = iter(orders)
        self._left = []

    def open(self, command):
        return nullcontext(self)

    def send(self, body):
        self.asked += 1
        self._left = [Message(number, number == 3, BODIES[number]) for number in next(self._orders)]

    def receive(self, timeout):
        return self._left.pop(0) if self._left else None

    def wait_status(self, condition, timeout):
        return None


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_what_has_overtaken_others_waits_for_them(order):
    board, wanted = Board((*order, order[0])), Wanted("a", 300)
    get_all(board, [wanted])
    assert wanted.data == b"".join(DATA) and board.asked == 1


@pytest.mark.parametrize("lost", range(4))
def test_what_is_lost_is_asked_for_again(lost):
    board, wanted = Board([number for number in range(4) if number != lost], range(4)), Wanted("a")
    wanted.size = 300
    get_all(board, [wanted])
    assert wanted.data == b"".join(DATA) and board.asked == 2

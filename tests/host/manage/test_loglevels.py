"""Tests what somebody may wish of a board's levels, and what a board may say of them."""

import json

import pytest

from mqhost.errors import BoardError, UsageError
from mqhost.manage.loglevels import Levels, Wish


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("debug", {"level": "debug"}),
        ("default", {"level": None, "levels": None}),
        ("mqtt=error", {"levels": {"mqtt": "error"}}),
        ("mqtt=default", {"levels": {"mqtt": None}}),
        ("a=b=info", {"levels": {"a=b": "info"}}),
    ],
)
def test_a_wish_is_a_level_or_that_of_a_logger(text, body):
    assert json.loads(Wish.parse(text).body()) == body


@pytest.mark.parametrize("text", ["", "loud", "DEBUG", "mqtt=loud", "mqtt=", "=debug", "mqtt"])
def test_there_is_no_such_level(text):
    with pytest.raises(UsageError, match="debug, info, warning, error, default"):
        Wish.parse(text)


@pytest.mark.parametrize(
    "said", [{}, {"level": 3, "levels": {}}, {"level": "info", "levels": [1]}, {"levels": {}}]
)
def test_what_a_board_says_is_not_trusted(said):
    with pytest.raises(BoardError, match="makes no sense"):
        Levels.of(said)


def test_levels_are_those_of_all_and_of_some():
    levels = Levels.of({"level": "info", "levels": {"board": None, "mqtt": "debug"}})
    assert (levels.level, levels.loggers) == ("info", {"board": None, "mqtt": "debug"})

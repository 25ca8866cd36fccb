"""Tests that an answer which is no JSON object is an error that names its command."""

import json

import pytest

from mqhost.errors import BoardError
from mqhost.link.answer import board_json, json_object
from mqhost.link.roster import parse_status


def test_an_object_is_read_and_what_is_no_text_in_it_replaced():
    assert json_object("info", b'{"a": "\xff"}') == {"a": "�"}


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"[1]", b"null"])
def test_what_is_no_object_is_an_error_of_that_command(data):
    with pytest.raises(BoardError, match=r"answer to info is (not JSON|no JSON object): b'"):
        json_object("info", data)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (b"[NaN, Infinity, -Infinity, 1e999, -1e999]", [None] * 5),
        (b"[1.5, -7, 0]", [1.5, -7, 0]),
        (b"[" + b"9" * 300 + b", " + b"9" * 301 + b"]", [int("9" * 300), None]),
        (rb'{"a\ud800": "x\uDFFFy"}', {"a?": "x?y"}),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"\\ud800"', r"\ud800"),
    ],
)
def test_what_no_json_and_no_text_can_have_is_made_harmless(said, read):
    assert board_json(said) == read
    status = parse_status(b'{"state": "online", "x": ' + said + b"}")
    assert status == {"state": "online", "x": read}
    json.dumps(status, allow_nan=False, ensure_ascii=False).encode()


def test_a_status_that_is_longer_than_any_board_says_is_none():
    status = {"state": "online", "version": ""}
    empty = len(json.dumps(status))
    for size in (65_535, 65_536, 65_537):
        status["version"] = "x" * (size - empty)
        said = json.dumps(status).encode()
        assert len(said) == size
        assert parse_status(said) == (status if size <= 65_536 else None)

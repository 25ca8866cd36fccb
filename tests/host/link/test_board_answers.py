"""Tests that an answer which is no JSON object is an error that names its command."""

import pytest

from mqhost.errors import BoardError
from mqhost.link.answer import json_object


def test_an_object_is_read_and_what_is_no_text_in_it_replaced():
    assert json_object("info", b'{"a": "\xff"}') == {"a": "�"}


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"[1]", b"null"])
def test_what_is_no_object_is_an_error_of_that_command(data):
    with pytest.raises(BoardError, match=r"answer to info is (not JSON|no JSON object): b'"):
        json_object("info", data)

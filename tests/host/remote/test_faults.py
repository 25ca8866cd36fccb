"""Tests that every error of a board's files has words for people."""

import pytest

from mqhost.errors import BoardError, RefusedError
from mqhost.remote import faults
from mqwire import files as wire

CODES = [code for _, code in wire.CODES] + list(wire.OWN_CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_a_sentence(code):
    error = faults.fault({"error": code, "path": "/a/b.py"})
    text = str(error)
    assert text.startswith(":/a/b.py: ") and text.endswith(".")
    assert f"error {code}" not in text
    assert error.reason == code


def test_a_code_that_is_not_known_is_told_as_it_is():
    assert "error E61" in str(faults.fault({"error": "E61", "path": "/a"}))


def test_no_room_says_the_numbers_and_is_a_refusal():
    error = faults.fault({"error": "ENOSPC", "path": "/", "need": 4096, "free": 1024})
    assert isinstance(error, RefusedError)
    assert "4,096 B" in str(error) and "1,024 B" in str(error)
    assert "full" in str(faults.fault({"error": "ENOSPC", "path": "/", "need": "x"}))


def test_numbers_of_the_filesystem_become_codes():
    assert wire.code_of(2) == wire.code_of(-2) == "ENOENT"
    assert wire.code_of(61) == "E61"


def test_who_puts_a_file_that_somebody_else_puts_is_refused_and_the_root_folder_is_an_error():
    assert isinstance(faults.fault({"error": "EBUSY", "path": "/f"}), RefusedError)
    assert isinstance(faults.fault({"error": "EBUSY", "path": "/"}), BoardError)

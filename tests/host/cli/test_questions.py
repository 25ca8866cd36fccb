"""Tests the questions: asked of whoever is there, again until answered, and never of nobody."""

import pytest
from chipbuild import NOBODY

from mqhost.cli.terminal.questions import Questions, replacing
from mqhost.errors import UsageError
from mqhost.usb.provision import FilesThere


def test_questions_are_repeated_until_there_is_an_answer():
    answers = iter(["", " ", "x"])
    assert Questions(lambda question: next(answers), None).text("Which", "--which") == "x"
    assert Questions(lambda question: "", None).text("Which", "--which", "d") == "d"
    with pytest.raises(UsageError, match="give --which"):
        NOBODY.text("Which", "--which", "d")


def test_somebody_may_give_up_the_files():
    calls = []

    def write(force):
        calls.append(force)
        if not force:
            raise FilesThere("It has files.")
        return "done"

    assert replacing(write, False, Questions(lambda question: "y", None)) == "done"
    assert calls == [False, True]
    with pytest.raises(FilesThere):
        replacing(write, False, Questions(lambda question: "", None))
    with pytest.raises(FilesThere):
        replacing(write, False, NOBODY)

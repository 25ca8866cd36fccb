"""Follows the pages of docs/tutorials on a simulated board, word for word."""

import pytest
from tutorial import follow, steps_of

from mqhost.paths import ROOT

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.fixture
def board(make_board):
    """Give a board as that of the tutorials."""
    made = make_board(prefix="esp32/test")
    made.wait_online()
    return made


def test_from_an_empty_desk_to_blinky(board, variant, tmp_path):
    new = variant("0.2.0")
    page = (ROOT / "docs" / "tutorials" / "blinky.md").read_text()
    follow(
        page,
        tmp_path,
        board.settings(),
        replaced={
            # What is built and runs here already.
            "./invoke build --board sim": "true",
            "source .venv/bin/activate": "true",
            "./invoke broker": "true",
            "./invoke sim --prefix esp32/test": "true",
            "invoke build --board sim --version 0.2.0": "true",
            "invoke ota": f"mqboard ota --image {new.app}",
        },
        following=["mqboard log"],
        codes={"mqboard modules restart blinky": [0, 1]},
    )


def test_from_your_own_main_to_a_managed_board(make_board, tmp_path):
    made = make_board(prefix="esp32/test", watchdog={"timeout_s": 6})  # not a minute
    made.wait_online()
    page = (ROOT / "docs" / "tutorials" / "main.md").read_text()
    # The first time, when it must not work.
    codes = {"mqboard config set modules.main={}": [1, 0]}
    follow(page, tmp_path, made.settings(), following=["mqboard log"], codes=codes, at_once=True)


def test_every_tutorial_is_followed():
    assert [page.name for page in PAGES] == ["blinky.md", "main.md"]
    assert all(len(steps_of(page.read_text())) > 10 for page in PAGES)

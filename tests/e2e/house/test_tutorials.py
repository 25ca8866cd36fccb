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


def test_every_tutorial_is_followed():
    assert [page.name for page in PAGES] == ["blinky.md"]
    assert all(len(steps_of(page.read_text())) > 10 for page in PAGES)

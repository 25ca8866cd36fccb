"""Tests that a simulated board's heap size is checked before it boots, or boots for ever."""

import re
from pathlib import Path

import pytest

from mqhost.build.board import find
from mqhost.cli.tasks.simulator import run_foreground
from mqhost.errors import UsageError
from mqhost.sim.device import HEAP, Device, check_heap


@pytest.mark.parametrize("heap", [HEAP, "96k", "192K", "4m", "64M", "200000"])
def test_a_size_that_boots_is_taken(heap):
    check_heap(heap)


@pytest.mark.parametrize("heap", ["5", "95k", "0", "-192k", "", "k", "192kb", "1.5m", "1g", "65m"])
def test_any_other_is_refused_with_what_is_possible(heap):
    with pytest.raises(UsageError, match=re.escape(f"{heap!r} is no heap") + ".*96k.*64m"):
        check_heap(heap)


def test_a_board_does_not_start_with_one(tmp_path):
    table = find("sim").table
    with pytest.raises(UsageError, match="is no heap"):
        Device(Path(tmp_path / "flash"), table=table, heap="5")


def test_nor_is_a_flash_file_made_for_it(tmp_path):
    with pytest.raises(UsageError, match="is no heap"):
        run_foreground("a/b", flash=tmp_path / "flash", image=tmp_path / "image", heap="5")
    assert list(tmp_path.iterdir()) == []

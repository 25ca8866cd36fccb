"""Tests that a power cut while a file is put leaves the old file or the new one: some of the cuts
that `./invoke bench --only files` makes."""

import pytest

from ci.bench.raw import extract
from ci.filecuts import STORIES, run


@pytest.mark.parametrize("story", STORIES)
def test_a_power_cut_leaves_the_old_file_or_the_new_one(firmware, tmp_path, story):
    told = run(extract(firmware.app, tmp_path), story, 0, 4 if story == "long" else 24)
    assert told["lost"] == []
    assert told["cuts"] >= 4 and told["operations"] >= 3

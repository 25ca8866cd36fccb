"""Cuts power in deployments on the desk, and holds the sweep itself to account."""

import pytest
from spoiling import lost, spoil

from ci.cuts import deploycuts
from ci.cuts.deploycuts import Story, Sweep, sweep
from ci.cuts.powercuts import Bricked


@pytest.fixture
def told(desk) -> dict[str, Story]:
    return {story.name: story for story in deploycuts.stories(desk)}


def test_no_cut_takes_the_application_from_a_board(tmp_path):
    count = sweep(tmp_path, cuts=120)
    assert count.cuts == 120
    assert not count.bricks, "\n".join(count.bricks)


def test_a_board_that_switches_in_two_writes_is_found_out(desk, told, monkeypatch):
    def change(module):
        switch = module.Record.switch

        def in_two(self, entry):
            now, self.now = self.now, None
            self.keep()
            self.now = now
            switch(self, entry)

        module.Record.switch = in_two

    spoil(desk, monkeypatch, "mqboard.apps.record", change)
    assert lost(Sweep(desk), told["another one"])


def test_a_board_that_believes_what_has_arrived_is_found_out(desk, told, monkeypatch):
    def change(module):
        async def all_there(self):
            paths = [f"{self.folder}/{path}" for path, _, _ in self.manifest.rows()]
            return [n for n, path in enumerate(paths) if not module._exists(path)]

        module.Stage.missing = all_there

    spoil(desk, monkeypatch, "mqboard.apps.stage", change)
    with pytest.raises(Bricked):
        Sweep(desk).length(_damaged(desk, told["another one"]))


def _damaged(desk, story: Story) -> Story:
    """Return the story of a board on which a file of the new application is, with other bytes."""
    desk.flash.restore(story.flash)
    desk.end = None
    desk.files.mount()
    assert story.new
    folder = f"/apps/{story.new.id}"
    desk.files.os().mkdir(folder)
    with desk.files.open(f"{folder}/pump.py", "wb") as file:
        file.write(b"half of i")
    return Story(story.name, desk.flash.snapshot(), story.new, story.ends)


def test_what_half_arrived_is_not_run(desk, told):
    Sweep(desk).length(_damaged(desk, told["another one"]))


def test_a_board_that_tries_for_ever_is_found_out(desk, told, monkeypatch):
    def change(module):
        module.ON_TRIAL = module.NEW

    spoil(desk, monkeypatch, "mqboard.apps.record", change)
    with pytest.raises((Bricked, TimeoutError)):
        Sweep(desk).length(told["one that does not reach the broker"])


def test_a_board_that_removes_the_old_one_at_once_is_found_out(desk, told, monkeypatch):
    def change(module):
        tidy = module.tidy

        async def too_much(ids):
            await tidy(ids[-1:])

        module.tidy = too_much

    spoil(desk, monkeypatch, "mqboard.apps.stage", change)
    with pytest.raises((Bricked, TimeoutError)):
        Sweep(desk).length(told["one that does not reach the broker"])

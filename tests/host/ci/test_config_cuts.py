"""Cuts power in changes of a configuration on the desk, and holds the sweep itself to account."""

import pytest
from spoiling import lost, spoil

from ci.cuts import configcuts
from ci.cuts.configcuts import Story, Sweep, sweep


@pytest.fixture
def told(desk) -> dict[str, Story]:
    return {story.name: story for story in configcuts.stories(desk)}


def test_no_cut_takes_the_configuration_from_a_board(tmp_path):
    count = sweep(tmp_path, cuts=120)
    assert count.cuts == 120
    assert not count.bricks, "\n".join(count.bricks)


def test_a_board_that_forgets_the_mark_before_the_file_is_back_is_found_out(
    desk, told, monkeypatch
):
    def change(module):
        module.Trial.note = lambda self, key, value: self._store.erase(key)

    spoil(desk, monkeypatch, "mqboard.health.bootrecord", change)
    assert 0 < len(lost(Sweep(desk), told["one that does not reach the broker"])) < 20


def test_a_board_without_a_mark_is_found_out(desk, told, monkeypatch):
    def change(module):
        module.begin = lambda store, path, text, ident: module.replace(path, text)

    spoil(desk, monkeypatch, "mqboard.health.configtrial", change)
    with pytest.raises((configcuts.Bricked, TimeoutError)):
        Sweep(desk).length(told["one that does not reach the broker"])


def test_a_board_that_keeps_what_it_has_not_proved_is_found_out(desk, told, monkeypatch):
    def change(module):
        begin = module.begin

        def keep_at_once(store, path, text, ident):
            begin(store, path, text, ident)
            store.set("config", text)

        module.begin = keep_at_once

    spoil(desk, monkeypatch, "mqboard.health.configtrial", change)
    with pytest.raises((configcuts.Bricked, TimeoutError)):
        Sweep(desk).length(told["one that does not reach the broker"])

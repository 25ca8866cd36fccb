"""Tests what is told of a board by its last status."""

import json
import math
import time

import pytest

from mqhost.cli.terminal.printing import json_text
from mqhost.fleet.presence import Presence
from mqhost.link.roster import Sighting

NOW = 1_800_000_000


def presence(heard_at=None, **status):
    return Presence.of("esp32/test", Sighting(status, heard_at))


def test_a_goodbye_has_its_time_and_its_reason():
    board = presence(state="offline", reason="update", at=NOW)
    assert (board.online, board.since, board.remarks) == (False, NOW, ("update",))
    assert board.record()["since"] == "2027-01-15T08:00:00+00:00"


def test_of_a_will_only_who_heard_it_knows_the_time():
    assert presence(state="offline", reason="connection lost").since is None
    assert presence(NOW, state="offline").since == NOW


@pytest.mark.parametrize("at", [True, "now", None, -1, 0, 5, 1e300, math.nan, [], 1 << 70])
def test_a_time_that_is_none_is_not_believed(at):
    board = presence(state="offline", at=at)
    assert board.since is None
    assert json.loads(json_text(board.record()))["since"] is None


def test_what_is_out_of_the_ordinary_is_remarked():
    failed = {"version": "2.0", "reason": "it crashed"}
    told = presence(
        state="online",
        twin="a1b2",
        crashes=2,
        failed=failed,
        storage="made anew",
        disabled=["pump"],
        config={"state": "failed", "reason": "it did not get onto a network"},
    )
    remarks = "; ".join(told.remarks)
    for word in (
        "a1b2",
        "crashes to look at: 2",
        "2.0: it crashed",
        "made anew",
        "pump",
        "onto a network",
    ):
        assert word in remarks
    assert presence(state="online", storage="ok", crashes=0, disabled=[], failed=None).remarks == ()


@pytest.mark.parametrize("value", [None, 5, [], {"a": []}, "x\x1b[2J", True])
def test_nothing_that_a_board_says_is_too_odd(value):
    keys = ("state", "reason", "twin", "crashes", "failed", "storage", "disabled", "rssi", "at")
    keys += ("config",)
    board = presence(**dict.fromkeys(keys, value))
    assert isinstance(board.fact("rssi"), str)
    assert all(isinstance(remark, str) for remark in board.remarks)


def test_what_no_board_of_ours_says_is_cut_where_there_are_many():
    usual = Presence.of("a/b", Sighting({"state": "online", "version": "1"}, 5.0))
    assert usual.record(whole=False) == usual.record()
    deep = [0]
    for _ in range(200):
        deep = [deep]
    said = {"state": "online", "version": "9" * 60_000, "n": 9**900, "deep": deep}
    said |= {f"key {n}": ["x" * 300] * 40 for n in range(500)}
    hostile = Presence.of("a/b", Sighting(said, 5.0))
    record = hostile.record(whole=False)
    assert record["cut"] is True and record["prefix"] == "a/b" and record["state"] == "online"
    assert record["version"] == "9" * 400 + "…" and len(json.dumps(record)) < 10_000
    assert "cut" not in hostile.record()


def test_who_sleeps_is_neither_online_nor_offline():
    now = int(time.time())
    board = presence(state="asleep", at=now, until=now + 600, slot_state="valid")
    assert (board.state, board.online, board.asleep) == ("asleep", False, True)
    assert "asleep until" in board.remarks[0]
    empty = presence(state="asleep", until=now + 9, power={"volts": 3.1, "empty": True})
    assert "its battery is empty: 3.1 V" in empty.remarks
    # One that has not woken is missed.
    board = presence(state="asleep", at=now - 1200, until=now - 600)
    assert board.state == "offline" and "overdue" in board.remarks[0]

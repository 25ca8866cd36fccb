"""Tests the list of boards: which are in it, in which order, and what is told of each."""

import pytest

from mqhost.fleet.page.facts import firmware
from mqhost.fleet.page.rows import Row, Wish, view
from mqhost.fleet.page.templating import asset, environment, size, span, url
from mqhost.fleet.presence import Presence
from mqhost.fleet.server.groups import Groups
from mqhost.fleet.server.hearing.live import Facts


def board(prefix, online=True, since=1000.0, remarks=(), **status):
    facts = {"state": "online" if online else "offline", "board": "esp32", "version": "1.0"}
    return Presence(prefix, online, since, facts | status, remarks)


BOARDS = [
    board("farm/10", version="0.5.10", rssi=-50),
    board("farm/9", version="0.5.9", rssi=-80, mode="safe", remarks=("crashes to look at: 2",)),
    board("farm/gone", online=False, reason="lost", remarks=("lost",)),
]


def listed(**wish):
    return [row.prefix[5:] for row in view(BOARDS, lambda prefix: None, Wish(**wish)).rows]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, ["9", "10", "gone"]),
        ({"sort": "-prefix"}, ["gone", "10", "9"]),
        ({"sort": "version"}, ["9", "10", "gone"]),
        ({"sort": "rssi"}, ["9", "10", "gone"]),
        ({"sort": "-rssi"}, ["10", "9", "gone"]),
        ({"sort": "nonsense"}, ["9", "10", "gone"]),
        ({"show": "look"}, ["9"]),
        ({"show": "offline"}, ["gone"]),
        ({"show": "nonsense"}, ["9", "10", "gone"]),
        ({"q": "FARM 0.5"}, ["9", "10"]),
        ({"where": "rssi<-75"}, ["9"]),
        ({"most": 1}, ["9"]),
    ],
    ids=str,
)
def test_boards_are_chosen_and_sorted(wish, expected):
    assert listed(**wish) == expected


def test_a_wrong_condition_is_told_in_the_list():
    seen = view(BOARDS, lambda prefix: None, Wish(where="rssi<"))
    assert not seen.rows and "column 6" in seen.error and seen.total == 3


def test_what_is_left_out_is_counted_and_can_be_asked_for():
    seen = view(BOARDS, lambda prefix: None, Wish(most=2, q="farm"))
    assert seen.left_out == 1
    assert seen.everything == {"q": "farm", "most": "1000000"}


def test_choices_without_a_board_are_not_offered():
    chips = view(BOARDS[:1], lambda prefix: None, Wish()).chips
    assert [(chip.name, chip.count) for chip in chips] == [("board", 1), ("online", 1)]


def test_facts_of_this_boot_count_and_those_of_another_one_do_not():
    said = Facts(at=5000.0, rssi=-61, uptime_s=400)
    row = Row.of(board("a", rssi=-50), said)
    assert (row.rssi, row.since, row.bars) == (-61, 4600.0, 3)
    row = Row.of(board("a", since=6000.0, rssi=-50), said)
    assert (row.rssi, row.since) == (-50, 6000.0)


def test_another_list_has_another_mark():
    one = view(BOARDS, lambda prefix: None, Wish())
    assert one.mark == view(list(BOARDS), lambda prefix: None, Wish()).mark
    assert one.mark != view(BOARDS[:2], lambda prefix: None, Wish()).mark


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (90061, "1 d 1 h"),
    ],
)
def test_times_are_written_in_their_largest_units(seconds, text):
    assert span(seconds) == text


def test_sizes_and_addresses():
    assert [size(number) for number in (999, 1000, 2_500_000)] == ["999 B", "1.0 KB", "2.5 MB"]
    assert url("/board", prefix="a/b&c", tab=None) == "/board?prefix=a%2Fb%26c"
    assert asset("page.css").startswith("/static/page.css?v=")


def test_every_template_can_be_read():
    templates = environment()
    names = templates.list_templates()
    assert len(names) > 20
    for name in names:
        templates.get_template(name)


def test_a_board_that_says_nonsense_is_a_row_like_others():
    hostile = board("farm/x", version="9" * 5000, mode="<b>" * 500, remarks=("y" * 200_000,))
    facts = Facts.of(2000.0, {"uptime_s": 10**400, "rssi": -50, "heap_free": 10**12})
    assert facts == Facts(2000.0, rssi=-50)
    for sort in ("prefix", "version", "-version", "since", "remarks"):
        seen = view([*BOARDS, hostile], lambda prefix: facts, Wish(sort=sort))
        (row,) = [row for row in seen.rows if row.prefix == "farm/x"]
        assert len(row.version) == 100 and len(row.mode) == 100 and len(row.remark) == 1000


@pytest.mark.parametrize("built", [None, "", -1, 1 << 40, float("inf"), [1]])
def test_a_time_of_build_that_cannot_be_is_not_shown(built):
    assert firmware({"built": built, "version": "1.0"}) == [("Version", "1.0")]


def test_a_group_chooses_and_one_that_is_none_is_told():
    groups = Groups(lambda: {"ten": ("farm/10", "mill/+")})
    seen = view(BOARDS, lambda prefix: None, Wish(group="ten", q="farm"), groups.patterns)
    assert [row.prefix for row in seen.rows] == ["farm/10"] and seen.query["group"] == "ten"
    seen = view(BOARDS, lambda prefix: None, Wish(group="two"), groups.patterns)
    assert not seen.rows and "no group 'two'" in seen.error and "there is: ten" in seen.error

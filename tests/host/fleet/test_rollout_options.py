"""Tests the options of rollouts: what is read comes back, what is none says how it is written."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mqhost.errors import UsageError
from mqhost.fleet.rollout.options import (
    MAX_PARALLEL,
    Options,
    Share,
    Window,
    duration,
    duration_text,
)

shares = some.one_of(
    some.integers(0, 10_000).map(str), some.integers(0, 100_000).map(lambda n: f"{n / 1000:g}%")
)
times = some.tuples(some.integers(0, 23), some.integers(0, 59)).map(lambda t: f"{t[0]}:{t[1]:02}")
lengths = some.tuples(some.integers(0, 365), some.sampled_from("smhd")).map(
    lambda pair: f"{pair[0]}{pair[1]}"
)


@given(
    canary=shares,
    wave=some.sampled_from(["100%", "10,50%,100%", "1%,2%,3", "5"]),
    max_failed=shares,
    parallel=some.integers(1, MAX_PARALLEL).map(str),
    window=some.one_of(
        some.just(""), some.lists(times, min_size=2, max_size=2, unique=True).map("-".join)
    ),
    wait=lengths,
    settle=lengths,
)
def test_what_is_read_is_the_same_when_it_is_read_again(**texts):
    options = Options.parse(**texts)
    assert Options.parse(**options.record()) == options


@given(shares, some.integers(0, 20_000))
def test_a_share_is_rounded_to_whole_boards(text, total):
    share = Share.parse(text, "--canary")
    up, down = share.rounded_up(total), share.rounded_down(total)
    assert 0 <= up <= total and down >= 0
    if share.percent:
        assert down <= up <= down + 1
        assert up == 0 or share.number > 0 < total
    else:
        assert down == share.number and up == min(total, down)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("canary", "5 %"),
        ("canary", "-1"),
        ("canary", "101%"),
        ("canary", "1.5"),
        ("canary", "٣"),
        ("max_failed", "many"),
        ("max_failed", ""),
        ("wave", "10,,100%"),
        ("wave", "50%,10%"),
        ("wave", "10,10"),
        ("parallel", "0"),
        ("parallel", "257"),
        ("parallel", "x"),
        ("window", "02:00"),
        ("window", "24:00-01:00"),
        ("window", "02:60-03:00"),
        ("window", "02:00-02:00"),
        ("wait", "7"),
        ("wait", "-7d"),
        ("wait", "367d"),
        ("settle", "5 minutes"),
    ],
)
def test_what_is_none_is_named_with_its_option(option, text):
    with pytest.raises(UsageError) as caught:
        Options.parse(**{option: text})
    named = text if option != "wave" or "," not in text else ""
    assert str(caught.value).startswith(f"--{option.replace('_', '-')} {named!r}"[:-1])


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("5m", 300), ("24h", 86400), ("7d", 604800)]
)
def test_durations(text, seconds):
    assert duration(text, "--wait") == seconds
    assert duration(duration_text(seconds), "--wait") == seconds


def at(text, zone=UTC):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("02:00-05:00", ["02:00", "03:30", "04:59"], ["01:59", "05:00", "14:00"]),
        ("22:00-04:00", ["22:00", "23:59", "00:00", "03:59"], ["21:59", "04:00", "12:00"]),
    ],
)
def test_a_window_may_go_past_midnight(window, inside, outside):
    for zone in (UTC, timezone(timedelta(hours=5, minutes=30))):
        for text in inside:
            assert Window.parse(window).holds(at(f"2027-03-01T{text}", zone), zone)
        for text in outside:
            assert not Window.parse(window).holds(at(f"2027-03-01T{text}", zone), zone)


@given(
    times,
    times,
    some.integers(1_800_000_000, 1_900_000_000),
    some.sampled_from(["UTC", "Asia/Kolkata", "Pacific/Auckland"]),
)
def test_it_is_open_when_it_opens_and_not_just_before(start, end, now, name):
    if start == end:
        return
    window, zone = Window.parse(f"{start}-{end}"), ZoneInfo(name)
    opens = window.opens(now, zone)
    assert now < opens <= now + 26 * 3600
    local = datetime.fromtimestamp(opens, zone)
    if (local.hour, local.minute) == tuple(map(int, start.split(":"))):  # no change of the clocks
        assert window.holds(opens, zone)


def test_a_night_in_which_the_clocks_change_has_its_window():
    zone = ZoneInfo("Europe/Berlin")
    before = at("2027-03-27T23:00", zone)  # at 02:00 it becomes 03:00
    opens = Window.parse("03:00-05:00").opens(before, zone)
    assert opens == at("2027-03-28T03:00", zone) == before + 3 * 3600

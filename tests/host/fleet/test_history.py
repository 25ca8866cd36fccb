"""Tests the history of boards in the database, on SQLite and on PostgreSQL: spans, means, and that
it stays bounded.
"""

import threading

import pytest
from sqlalchemy import func, select

from mqhost.errors import UsageError
from mqhost.fleet.store.database import Database
from mqhost.fleet.store.history import (
    COARSE,
    CRASH,
    FINE,
    LINES,
    LONGEST_LINE,
    History,
    Line,
    Sample,
)
from mqhost.fleet.store.servers import ALIVE, Servers
from mqhost.fleet.store.tables import board_log, history

START = 1_800_000_000.0 // COARSE * COARSE


class Clock:
    now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(place, clock):
    opened = Database(place, clock)
    yield opened
    opened.close()


@pytest.fixture
def kept(database):
    return History(database, "broker")


def test_samples_of_a_span_are_one_point_with_their_mean(kept, clock):
    kept.add([Sample("a", START + 10, 1000, -60), Sample("a", START + 20, 3000, -70)])
    kept.add([Sample("a", START + FINE - 1, 5000, -80), Sample("a", START + FINE, 7000, None)])
    clock.now = START + 2 * FINE
    assert kept.points("a", "heap", 1) == [(START, 3000), (START + FINE, 7000)]
    assert kept.points("a", "rssi", 1) == [(START, -70), (START + FINE, None)]


def test_reconnects_of_a_span_are_added_up(kept, clock):
    kept.add([Sample("a", START + 1, reconnects=1), Sample("a", START + 2, 1000)])
    kept.add([Sample("a", START + 3, reconnects=1)])
    clock.now = START + FINE
    assert kept.points("a", "reconnects", 1) == [(START, 2)]
    assert kept.points("a", "heap", 1) == [(START, 1000)]


def test_what_is_longer_ago_is_of_an_hour_each(kept, clock):
    kept.add([Sample("a", START + 60 * minute, 1000 * minute) for minute in range(120)])
    clock.now = START + 2 * COARSE
    points = kept.points("a", "heap", 72)
    assert points == [(START, 29500), (START + COARSE, 89500)]


def test_what_says_nothing_is_not_kept(kept, clock):
    kept.add([Sample("a", START), Sample("a", START, rssi=-60)])
    kept.add([Sample("a", START + FINE)])
    assert kept.points("a", "rssi", 1) == [(START, -60)]


def test_other_boards_and_other_brokers_are_apart(kept, database, clock):
    other = History(database, "another")
    for where, prefix, heap in ((kept, "a", 1), (kept, "b", 2), (other, "a", 3)):
        where.add([Sample(prefix, START, heap)])
    found = [kept.points("a", "heap", 1), kept.points("b", "heap", 1), other.points("a", "heap", 1)]
    assert found == [[(START, 1)], [(START, 2)], [(START, 3)]]
    assert kept.points("nobody", "heap", 1) == []


def test_a_long_time_is_thinned_out(kept, clock):
    kept.add([Sample("a", START + COARSE * hour, 1000, reconnects=1) for hour in range(1500)])
    clock.now = START + COARSE * 1500
    points = kept.points("a", "reconnects", 24 * 90)
    assert len(points) == 500 and {value for _, value in points} == {3}
    assert {value for _, value in kept.points("a", "heap", 24 * 90)} == {1000}


def test_what_is_not_kept_is_told(kept):
    with pytest.raises(UsageError, match="'colour' is not kept"):
        kept.points("a", "colour", 1)


def test_what_is_too_old_is_removed_and_so_it_stays_bounded(kept, database, clock):
    day = 86400
    times = [START + number for number in range(0, 100 * day, 6 * 3600)]
    kept.add([Sample("a", at, 1000) for at in times])
    for number in range(0, len(times), LINES):
        kept.write([Line("a", at, "x") for at in times[number : number + LINES]])
    clock.now = START + 100 * day
    kept.prune()
    with database.look() as connection:
        query = select(history.c.step, func.count()).group_by(history.c.step)
        rows = dict(connection.execute(query).all())
        lines = connection.execute(select(func.count()).select_from(board_log)).scalar_one()
    assert rows == {FINE: 2 * 4, COARSE: 90 * 4} and lines == 3 * 4


def test_of_each_board_the_last_lines_are_kept(kept):
    for start in range(0, 3 * LINES, LINES // 2):
        kept.write([Line("a", START, f"line {start + number}") for number in range(LINES // 2)])
    kept.write([Line("b", START, "of another")])
    lines = [text for _, text in kept.lines("a")]
    assert lines == [f"line {number}" for number in range(2 * LINES, 3 * LINES)]
    assert kept.lines("b") == [(START, "of another")]


def test_long_lines_are_cut_and_crashes_are_not(kept):
    text = "x" * (LONGEST_LINE + 9)
    kept.write([Line("a", START, text), Line("a", START, text, CRASH), Line("a", START, "\0!")])
    assert [len(line) for _, line in kept.lines("a")] == [LONGEST_LINE, 2]
    assert kept.lines("a", CRASH) == [(START, text)]


def test_what_was_heard_last_is_told(kept, clock):
    kept.add([Sample("a", START, 1, -60), Sample("a", START + FINE, 2, -70), Sample("b", START, 3)])
    kept.add([Sample("c", START + FINE, reconnects=1)])
    found = kept.latest(START + FINE)
    assert found == {"a": Sample("a", START + FINE, 2, -70)}


def test_several_servers_add_at_the_same_time(place, clock):
    failed = []

    def add(number):
        database = Database(place, clock)
        try:
            kept = History(database, "broker")
            for minute in range(10):
                some = [Sample(f"b/{one}", START + minute, 1000, reconnects=1) for one in range(10)]
                kept.add(some if number % 2 else some[::-1])
        except Exception as error:
            failed.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    database = Database(place, clock)
    clock.now = START + FINE
    points = History(database, "broker").points("b/3", "reconnects", 1)
    database.close()
    assert not failed and points == [(START, 40)]


def test_what_was_not_kept_leaves_no_board_behind(kept, database):
    class Broken(Exception):
        pass

    with pytest.raises(Broken):
        kept.add(_breaking(Broken))
    kept.add([Sample("a", START, 1)])
    assert kept.points("a", "heap", 1) == [(START, 1)]


def _breaking(error):
    yield Sample("a", START, 1)
    raise error


# Servers


def test_each_board_is_one_servers_and_most_stay_so(database, clock):
    servers = [Servers(database, name) for name in ("x", "y", "z")]
    for _ in range(2):
        for one in servers:
            one.sign()
    boards = [f"farm/{number}" for number in range(300)]
    before = {board: [one._name for one in servers if one.mine(board)] for board in boards}
    assert all(len(owners) == 1 for owners in before.values())
    counts = [sum(owners == [name] for owners in before.values()) for name in ("x", "y", "z")]
    assert min(counts) > 60
    clock.now += ALIVE + 1
    for _ in range(2):
        for one in servers[:2]:
            one.sign()
    assert servers[0].alive == ("x", "y")
    for board, owners in before.items():
        now = [one._name for one in servers[:2] if one.mine(board)]
        assert len(now) == 1 and (owners == ["z"] or now == owners)


def test_a_server_that_ends_leaves_its_boards_to_the_others(database):
    x, y = Servers(database, "x"), Servers(database, "y")
    for one in (x, y, x):
        one.sign()
    assert not all(x.mine(f"b/{number}") for number in range(50))
    y.leave()
    x.sign()
    assert all(x.mine(f"b/{number}") for number in range(50))

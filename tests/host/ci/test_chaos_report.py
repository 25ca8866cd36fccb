"""Tests what chaos reports, of boards made up: what is lost is told, what is back is counted."""

from types import SimpleNamespace

import pytest

from ci import chaos
from ci.chaos import BROKER, FORGETFUL, Chaos, Report
from ci.chaos.spread import busiest, histogram
from ci.chaos.world import Lost


class FakeBoard:
    def __init__(self, number, dies_of=None):
        self.name = f"board {number}"
        self.busy = ""
        self.broken = 0
        self.dies_of = dies_of
        self.device = SimpleNamespace(console=SimpleNamespace(tail=lambda: "its last words"))

    def wait_back(self):
        if self.dies_of == "fault" and self.broken:
            raise Lost("it does not answer")
        return 0.5

    def wait_settled(self):
        pass

    def check(self):
        if self.dies_of == "end" and self.broken:
            raise Lost("mode is 'safe'")


def fault(board, chance):
    board.broken += 1
    return 0.0


@pytest.fixture
def run(monkeypatch):
    """Give run(*boards) -> Report, of chaos as short as can be."""
    monkeypatch.setattr(chaos, "FAULTS", {"fault": (fault, 1)})
    monkeypatch.setattr(chaos, "_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(chaos, "_RESTART_SECONDS", (0.01, 0.05))

    def run(*boards):
        world = SimpleNamespace(boards=boards, restart_broker=lambda *_: None)
        return Chaos(world, 1).run(0.4)

    return run


def test_boards_that_come_back_are_counted_and_nothing_is_lost(run):
    boards = FakeBoard(0), FakeBoard(1)
    report = run(*boards)
    assert not report.lost
    assert report.count["fault"] == len(report.back["fault"]) == sum(b.broken for b in boards) > 2
    assert report.restarts and report.count[BROKER] + report.count[FORGETFUL] > 0
    assert report.faults == sum(report.count.values())


@pytest.mark.parametrize(
    ("dies_of", "said"),
    [("fault", "fault: it does not answer"), ("end", "in the end: mode is 'safe'")],
)
def test_a_board_that_is_lost_is_named_with_its_last_words(run, dies_of, said):
    good, bad = FakeBoard(0), FakeBoard(1, dies_of)
    report = run(good, bad)
    assert any(f"board 1, {said}" in line and "its last words" in line for line in report.lost)
    assert not any("board 0" in line for line in report.lost)
    assert bad.broken == 1 or dies_of == "end"  # what is lost is left alone
    assert good.broken > 1


def test_a_report_knows_the_longest_time_and_percentiles():
    report = Report()
    report.count["cut"] = 2
    report.back["cut"] = [1.0, 20.5]
    report.back[BROKER] = [float(number) for number in range(1, 11)]
    report.back[FORGETFUL] = [float(number) for number in range(11, 21)]
    assert report.longest == (20.5, "cut")
    assert report.recover(95) == 19.0
    assert report.lines() == [f"{'cut':32}    2  back within 20.5 s"]


def test_the_busiest_moment_of_many_reconnects():
    assert busiest([0.0, 0.5, 0.55, 0.6, 0.61, 2.0], 0.1) == 3
    assert busiest([1.0], 0.1) == 1


def test_a_histogram_shows_every_moment_in_its_place():
    assert histogram([0.0, 0.1, 0.9, 0.95], 0.5) == ["  0.0 s    2 ██", "  0.5 s    2 ██"]
    assert histogram([0.1] * 100 + [1.1], 0.5)[1] == "  0.5 s    0"
    assert len(histogram([0.1] * 100, 0.5)[0]) == len("  0.0 s  100 ") + 50

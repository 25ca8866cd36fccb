"""Tests whole rollouts on simulated fleets: whatever happens in whatever order, no board is
forgotten, none is sent what it has, and it comes to an end.
"""

from collections import Counter

import pytest
from simfleet import DyingStore, Sim, SimPusher

from mqhost.fleet.rollout.drive import Driver, drive
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome
from mqhost.fleet.rollout.states import (
    ABORTED,
    ABSENT,
    DONE,
    DROPPED,
    FAILED,
    FINISHED,
    SENDING,
    WAITING,
)
from mqhost.fleet.store.records import StoreError


def run(place, seed, **wish):
    """Run a rollout in disorder, then to its end; return what there was of everything."""
    sim = Sim(place, seed, **wish)
    try:
        sim.disorder(120)
        rollout, rows = sim.calm()
        sim.check_end(rollout, rows)
        counts = Counter(row.state for row in rows.values()) + Counter([rollout.state])
        return counts + Counter(kills=sim.kills, pushes=sim.pushes, troubles=sim.troubles)
    finally:
        sim.store.close()


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_whatever_happens_it_ends_right(tmp_path, first):
    total = Counter()
    for seed in range(first, first + 10):
        total += run(str(tmp_path / f"{seed}.db"), seed)
    assert total["kills"] > 50 and total["troubles"] > 20 and total["pushes"] > 80, total
    assert all(total[state] for state in (DONE, FAILED, DROPPED, FINISHED, ABORTED)), total


def test_and_so_it_does_on_postgresql(postgres):
    total = Counter()
    for seed in range(100, 103):
        total += run(postgres.database(f"whatever_{seed}"), seed)
    assert total["kills"] > 15 and total[DONE], total


def test_and_within_a_window(tmp_path):
    total = Counter()
    for seed in range(200, 204):
        total += run(str(tmp_path / f"{seed}.db"), seed, window="23:30-01:30", wait="7d")
    assert total["pushes"] > 10 and total[DONE], total


def test_an_undisturbed_rollout_sends_to_every_board_once(tmp_path):
    sim = Sim(str(tmp_path / "fleet.db"), 1, count=40, parallel="5", max_failed="0")
    for board in sim.boards.values():
        board.online, board.bad = True, False
    sim.add_driver()
    sim.silence = 0
    rollout, rows = sim.calm()
    assert rollout.state == FINISHED and {row.state for row in rows.values()} == {DONE}
    assert sim.pushes == 40
    words = [entry.result for entry in sim.store.entries(board="b/7")]
    assert words == ["sending", "settling", "done"]
    waves = [entry.result for entry in sim.store.entries(sim.number) if entry.what == "wave"]
    assert waves == ["canaries begin", *(f"wave {number} begins" for number in range(1, 4))]


# One thing at a time


@pytest.fixture
def sim(tmp_path):
    sim = Sim(str(tmp_path / "fleet.db"), 1, count=3, canary="3", parallel="1", settle="0s")
    sim.silence = 0
    for board in sim.boards.values():
        board.online, board.bad = True, False
    sim.add_driver()
    yield sim
    sim.store.close()


def states(sim):
    return [row.state for row in sim.store.read(sim.number)[1]]


def test_of_a_push_that_was_begun_before_the_lease_was_lost_nothing_is_believed(sim):
    driver, _, pusher = sim.drivers[0]
    while not pusher.pending:
        driver.step()
    old = dict(pusher.pending)
    sim.now += 60
    assert sim.store.claim(sim.number, "another", 10)
    driver.step()
    assert not driver.drives and not pusher.pending
    sim.now += 60
    driver.step()
    assert driver.drives and pusher.pending.keys() == old.keys()
    for row, done in old.values():
        done(Outcome(reason=f"the old push to {row.prefix} was stopped"))
    driver.step()
    assert states(sim) == [SENDING, WAITING, WAITING]


def test_who_slept_while_another_drove_knows_nothing_any_more(sim):
    first, _, _ = sim.drivers[0]
    while SENDING not in states(sim):
        first.step()
    sim.now += 60
    sim.add_driver()
    second, _, pusher = sim.drivers[1]
    while not pusher.pending:
        second.step()
    sim.end_push()
    second.step()
    assert states(sim)[0] == DONE
    sim.now += 60  # the second one has died
    for board in sim.boards.values():
        board.online = False
    first.step()
    assert not first.drives
    first.step()
    assert first.drives and states(sim)[0] == DONE


def test_what_the_database_kept_although_it_said_that_it_did_not_is_read_again(sim):
    driver, store, pusher = sim.drivers[0]
    driver.step()
    for board in sim.boards.values():
        board.online = False
    sim.dice.random = lambda: 1.0  # after the call
    store.calls_left, store.error = 1, StoreError
    with pytest.raises(StoreError):
        driver.step()
    assert states(sim) == [ABSENT] * 3
    for board in sim.boards.values():
        board.online = True
    driver.step()
    driver.step()
    assert states(sim) == [SENDING, WAITING, WAITING] and len(pusher.pending) == 1


def test_the_lease_is_given_back_at_the_end(sim):
    driver, _, _ = sim.drivers[0]
    driver.step()
    assert sim.store.driver(sim.number) == "driver 1"
    driver.close()
    assert sim.store.driver(sim.number) is None and not driver.drives


class Instant(SimPusher):
    """Pushes that are done at once."""

    def start(self, board, offer, app, done):
        super().start(board, offer, app, done)
        del self.pending[board.prefix]
        self.sim.install(board.prefix)
        done(CONFIRMED)


def test_when_the_database_is_away_that_is_told_and_tried_again(sim):
    store, told = DyingStore(sim), []
    store.calls_left, store.error = 5, StoreError
    driver = Driver(store, sim.number, sim, Instant(sim), "x", clock=sim.clock)
    events = []

    def trouble(error):
        told.append(error)
        events.append("trouble")

    steps, step = [], driver.step
    driver.step = lambda: steps.append(1) or step()
    drive(driver, trouble=trouble, after=lambda driver: events.append("well"))
    assert len(events) == len(steps)  # of a step that failed nobody says that it went well
    assert driver.over and states(sim) == [DONE] * 3
    assert len(told) == 1 and sim.store.driver(sim.number) is None

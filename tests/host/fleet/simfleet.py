"""Simulates a fleet in memory, with its clock, its drivers and the people who meddle, by a seed.

Boards come and go, restart, and confirm or refuse what they are sent; drivers die between any two
statements. Whenever a push begins, it is checked that it may: that its board is online and does not
run the image yet, that its wave has its turn, that nobody has paused, that not too many failed.
"""

import random
import sqlite3
from dataclasses import dataclass

from rolloutparts import options, picture, presence
from sqlalchemy import Engine, event

from mqhost.errors import UsageError
from mqhost.fleet.rollout.drive import TTL, Driver
from mqhost.fleet.rollout.engine import abort, allowed, over, pause, resume, retry_failed
from mqhost.fleet.rollout.options import Share
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome
from mqhost.fleet.rollout.plan import make_plan
from mqhost.fleet.rollout.states import (
    ABORTED,
    DONE,
    DROPPED,
    FAILED,
    FINISHED,
    RUNNING,
    SENDING,
    Seen,
)
from mqhost.fleet.store.records import StoreError
from mqhost.fleet.store.store import Store

START = 1_800_000_000.0
REFUSED = Outcome(reason="the board refused it")
SILENT = Outcome(reason="the board is silent", passing=True, counted=True)
LOST = Outcome(reason="the broker is gone", passing=True)


class Killed(BaseException):
    """The driver's process ends here."""


class DyingStore:
    """A store whose user is killed before or after one of its calls, or never; or the database is
    away for that one call.
    """

    def __init__(self, sim):
        self._store = sim.store
        self._dice = sim.dice
        self._boards = sim.boards
        self.calls_left = None  # None: all is well
        self.error = Killed

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*arguments, **options):
            if name == "keep":
                self._check(*arguments[2:4])
            if self.calls_left is None:
                return method(*arguments, **options)
            self.calls_left -= 1
            if self.calls_left < 0 and self._dice.random() < 0.5:
                self._fail()
            result = method(*arguments, **options)
            if self.calls_left < 0:
                self._fail()
            return result

        return call

    def _fail(self):
        self.calls_left = None
        raise self.error("by chance")

    def _check(self, rollout, changed):
        """Fail if a wave begins while a board of those before has not ended, a board is done that
        does not run the image, or one that has ended is not left alone.
        """
        before, rows = self._store.read(rollout.id)
        ended = {row.prefix for row in rows if row.ended}
        for row in changed:
            board = self._boards[row.prefix]
            assert row.state != DONE or board.online and board.image == row.image
            assert row.prefix not in ended or before.revision != rollout.revision
        if rollout.wave > before.wave:
            after = {row.prefix: row for row in [*rows, *changed]}
            assert all(row.ended for row in after.values() if row.wave < rollout.wave)


@dataclass
class SimBoard:
    """What a board is really like."""

    online: bool = True
    image: str = "old"
    confirmed: bool = True
    healthy: bool = True
    boot: int = 0
    at: float = 0.0
    bad: bool = False  # it refuses every image


class SimPusher:
    """The pushes of one driver: `sim` decides how and when each ends."""

    def __init__(self, sim):
        self.sim = sim
        self.pending = {}

    def start(self, board, offer, app, done):
        assert board.prefix not in self.pending, f"{board.prefix} is pushed to twice at a time"
        self.pending[board.prefix] = (board, done)
        self.sim.check_push(board, offer, len(self.pending))

    def stop(self):
        self.pending = {}


class Sim:
    """A fleet of `count` boards, a rollout to it in the database at `place`, and its drivers."""

    def __init__(self, place, seed, count=12, **wish):
        self.dice = random.Random(seed)
        self.now = START
        self.connected = True
        self.silence = 0.1  # of pushes
        self.store = Store(place, self.clock)
        self.image = picture()
        self.boards = {f"b/{number}": SimBoard() for number in range(count)}
        for board in self.boards.values():
            board.bad = self.dice.random() < 0.15
            board.online = self.dice.random() < 0.8
        self.kills = self.troubles = self.pushes = self.drivers_made = 0
        self.drivers = []
        self.frozen = set()
        wish = {"settle": "1m", "wave": "30%,60%,100%", "wait": "2h", "max_failed": "30%"} | wish
        plan = make_plan(
            [presence(name, online=board.online) for name, board in self.boards.items()],
            [self.image[0]],
            options(**wish),
        )
        self.number = self.store.create(plan, [self.image], options(**wish), broker="b", who="anna")

    def clock(self):
        return self.now

    # What a driver sees

    def seen(self):
        return {
            prefix: Seen(
                board.online,
                board.image,
                board.confirmed,
                board.healthy,
                str(board.boot),
                board.image[:6],
                board.at,
            )
            for prefix, board in self.boards.items()
        }

    def check_push(self, row, offer, pending):
        """Fail unless a push to `row` may begin now."""
        self.pushes += 1
        board = self.boards[row.prefix]
        rollout, rows = self.store.read(self.number)
        stored = {one.prefix: one for one in rows}
        assert offer == self.image[0]
        assert stored[row.prefix] == row and row.state == SENDING
        assert rollout.state == RUNNING
        assert board.online and not (board.image == row.image and board.confirmed)
        assert row.wave <= rollout.wave
        assert sum(one.state == FAILED for one in rows) <= allowed(rollout, rows)
        assert sum(one.state == SENDING for one in rows) <= rollout.options.parallel
        assert pending <= rollout.options.parallel
        window = rollout.options.window
        assert window is None or window.holds(self.now)

    # What happens

    def add_driver(self):
        self.drivers_made += 1
        store, pusher = DyingStore(self), SimPusher(self)
        owner = f"driver {self.drivers_made}"
        driver = Driver(store, self.number, self, pusher, owner, clock=self.clock)
        self.drivers.append((driver, store, pusher))

    def step_drivers(self):
        """Step each driver once; return when the first wants to be stepped again."""
        wakes = []
        for entry in list(self.drivers):
            driver, _, pusher = entry
            if driver in self.frozen:
                continue
            try:
                wakes.append(driver.step())
            except StoreError:
                self.troubles += 1
            except Killed:
                self.kills += 1
                self.drivers.remove(entry)
                self._leave(pusher)
            else:
                if driver.over:
                    self.drivers.remove(entry)
        return min((at for at in wakes if at is not None), default=None)

    def kill(self):
        """Have a driver die at one of its next calls of the store, or where it is now."""
        if self.drivers:
            entry = self.dice.choice(self.drivers)
            chance = self.dice.random()
            if chance < 0.6:
                entry[1].calls_left = self.dice.randrange(6)
                entry[1].error = self.dice.choice([Killed, StoreError])
            elif chance < 0.8:  # its process stops, and goes on at another time
                self.frozen ^= {entry[0]}
            else:
                self.kills += 1
                self.drivers.remove(entry)
                self._leave(entry[2])

    def _leave(self, pusher):
        """End the pushes of a dead driver, each where it was: what is installed is confirmed."""
        for prefix in pusher.pending:
            if self.dice.random() < 0.4 and not self.boards[prefix].bad:
                self.install(prefix)
        pusher.pending = {}

    def install(self, prefix):
        board = self.boards[prefix]
        board.image, board.confirmed, board.healthy = self.image[0].sha256, True, True
        board.boot += 1
        board.at = self.now

    def end_push(self):
        """End one of the pushes that are under way."""
        going = [
            (pusher, prefix) for _, _, pusher in self.drivers for prefix in sorted(pusher.pending)
        ]
        if not going:
            return
        pusher, prefix = self.dice.choice(going)
        _, done = pusher.pending.pop(prefix)
        board = self.boards[prefix]
        if not self.connected:
            return done(LOST)
        if not board.online or self.dice.random() < self.silence:
            return done(SILENT)
        if board.bad:
            return done(REFUSED)
        self.install(prefix)
        return done(CONFIRMED)

    def board_event(self):
        board = self.dice.choice(list(self.boards.values()))
        what = self.dice.random()
        if what < 0.5:
            board.online = not board.online
        elif what < 0.9:
            board.boot += 1
        elif what < 0.95:
            board.healthy = False
        else:  # somebody makes it go back
            board.image, board.boot = "old", board.boot + 1
        board.at = self.now

    def person(self):
        """Have somebody ask for something, whether that is possible or not."""
        edits = [
            ("pause", lambda r, b, now: (pause(r, "ben"), b)),
            ("resume", resume),
            ("resume", resume),
            ("retry-failed", retry_failed),
        ]
        if self.dice.random() < 0.03:
            edits = [("abort", lambda r, b, now: (abort(r, "ben"), b))]
        what, edit = self.dice.choice(edits)
        try:
            self.store.change(self.number, "ben", what, edit)
        except UsageError:
            return

    def disorder(self, steps):
        """Let `steps` things happen by chance."""
        events = [self.end_push] * 6 + [self.board_event] * 3 + [self.person] + [self.kill] * 2
        for _ in range(steps):
            if len(self.drivers) < 2 and self.dice.random() < 0.7:
                self.add_driver()
            self.dice.choice(events)()
            if self.dice.random() < 0.05:
                self.connected = not self.connected
            self.now += self.dice.choice([0, 1, 5, 20, TTL, 60, 600])
            self.step_drivers()
            self.check()

    def check(self):
        """Fail unless every board is known, once, in a state that it can be in."""
        rollout, rows = self.store.read(self.number)
        assert {row.prefix for row in rows} == set(self.boards)
        for row in rows:
            if row.wave > rollout.wave and rollout.state != ABORTED:
                assert row.state == "waiting"
            if row.state in (FAILED, DROPPED):
                assert row.reason

    def calm(self, most=400):
        """Let all be well from now on, and go on until the rollout is over."""
        self.connected = True
        self.frozen.clear()
        while self.drivers:
            driver, store, pusher = self.drivers.pop()
            store.calls_left = None
            self._leave(pusher)
            driver.close()
        for number, board in enumerate(self.boards.values()):
            board.online = number % 5 > 0 or board.online
        for _ in range(most):
            rollout, rows = self.store.read(self.number)
            if over(rollout, rows):
                return rollout, {row.prefix: row for row in rows}
            if rollout.state not in (RUNNING, ABORTED):
                self.store.change(self.number, "ben", "resume", _resume_whatever)
            if not self.drivers:
                self.add_driver()
            at = self.step_drivers()
            pending = any(pusher.pending for _, _, pusher in self.drivers)
            self.end_push()
            if not pending and at is not None:
                self.now = max(self.now, at)
            self.now += 0.1
        raise AssertionError(f"not over after {most} steps: {self.store.read(self.number)}")

    def check_end(self, rollout, rows):
        """Fail unless all has come to a right end."""
        assert rollout.state in (FINISHED, ABORTED)
        assert rows.keys() == self.boards.keys() and all(row.ended for row in rows.values())
        for row in rows.values():
            if rollout.state == FINISHED and row.state == DROPPED:
                assert row.reason == f"absent for {rollout.options.record()['wait']}"


def _resume_whatever(rollout, boards, now):
    return resume(rollout, boards, now, Share.parse("100%", "--max-failed"))


@event.listens_for(Engine, "connect")
def _never_wait_for_the_disk(connection, record):
    """A machine that loses its power is not simulated."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")

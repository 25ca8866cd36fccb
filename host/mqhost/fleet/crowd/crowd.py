"""Runs a crowd of boards in one event loop: connects them at a rate, and has them leave.

The broker's word on other boards, and the removal of what they left there, go over a connection of
the host's own.
"""

import asyncio
import random
import resource
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mqwire
from mqhost.errors import ToolError, UsageError
from mqhost.fleet.crowd.board import ID, Board, Kind, World
from mqhost.fleet.crowd.decode import made_up
from mqhost.fleet.crowd.faults import Rates
from mqhost.fleet.crowd.line import Line
from mqhost.fleet.rollout.options import Share
from mqhost.link.connection import Connection, tls_context
from mqhost.link.roster import Roster
from mqhost.link.settings import Settings, check_prefix

MOST = 100_000  # boards in one process
OLD = 2  # of mqwire.PROTOCOL: no broadcasts
_NUMBER = "{n}"
_NUMBER_BITS, _CROWDS = 20, 0xFFF  # of hardware ids: enough for MOST; the rest is the crowd's
_SPARE_FILES = 64
_CONNECT_S = 20.0
_LEAVE_S = 5.0
_FLUSH_S = 0.1
_CLEARINGS = 3
_LEFT = (
    "The broker does not forget the crowd's statuses. See them with mqboard boards, and remove "
    "them with mqboard boards --forget."
)


@dataclass(frozen=True)
class Plan:
    """What a crowd is: how many boards, where, of which kinds; `rate` connect in a second. `old` of
    them have firmware that knows no broadcasts, whatever they are updated to.
    """

    boards: int
    pattern: str = "crowd/{n}"
    kinds: tuple[Kind, ...] = (Kind("esp32", "esp32", made_up("esp32")),)
    rates: Rates = Rates({})
    rate: float = 100.0
    seed: int = 0
    old: Share = Share.parse("0", "--old")

    def prefixes(self) -> list[str]:
        """Return the prefixes; UsageError if they cannot be such."""
        if _NUMBER not in self.pattern:
            raise UsageError(f"--prefix {self.pattern!r:.60} has no {_NUMBER}, for the number.")
        found = [self.pattern.replace(_NUMBER, str(number)) for number in range(1, self.boards + 1)]
        check_prefix(found[-1])
        return found

    def protocols(self) -> list[int]:
        """Return the protocol that each board speaks."""
        old = self.old.rounded_up(self.boards)
        protocols = [OLD] * old + [mqwire.PROTOCOL] * (self.boards - old)
        random.Random(f"old {self.seed}").shuffle(protocols)
        return protocols

    @property
    def wide(self) -> str:
        """The pattern as the broker has it."""
        levels = self.pattern.split("/")
        return "/".join("+" if _NUMBER in level else level for level in levels)


class Crowd:
    """The boards of `plan` at the broker of `settings`, in the `world` that they share."""

    def __init__(self, settings: Settings, plan: Plan, **world: Any) -> None:
        if settings.path:
            raise UsageError("A crowd speaks MQTT itself, not over WebSockets: mqtt:// or mqtts://")
        self._settings = settings
        self._context = tls_context(settings) if settings.tls else None
        self._plan = plan
        self._tasks: set[asyncio.Task[None]] = set()
        self.world = World(self._connect, settings.username, settings.password, **world)
        self.world.images.update((kind.image.sha256, kind.image) for kind in plan.kinds)
        self.prefixes = plan.prefixes()
        # Other crowds at the broker have other boards.
        first = (zlib.crc32(plan.pattern.encode()) & _CROWDS) << _NUMBER_BITS
        faults, protocols = plan.rates.deal(plan.boards, plan.seed), plan.protocols()
        self.boards = [
            Board(
                self.world,
                first + number,
                prefix,
                plan.kinds[number % len(plan.kinds)],
                faults[number],
                protocols[number],
            )
            for number, prefix in enumerate(self.prefixes)
        ]
        self._began = time.monotonic()

    @property
    def online(self) -> int:
        """How many boards the broker has accepted."""
        return sum(board.online for board in self.boards)

    def record(self) -> dict[str, Any]:
        """Return the figures by name, with what this process took: `cpu_s` and `rss_bytes` at the
        most, and `seconds` since the beginning.
        """
        for board in self.boards:
            board.count()
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "boards": len(self.boards),
            "online": self.online,
            **self.world.figures.record(),
            "seconds": round(time.monotonic() - self._began, 3),
            "cpu_s": round(used.ru_utime + used.ru_stime, 3),
            "rss_bytes": used.ru_maxrss * 1024,
        }

    async def run(
        self, stop: asyncio.Event, tell: Callable[["Crowd"], None], every: float, seconds: float
    ) -> dict[str, Any]:
        """Run them until `stop` is set, or for so many `seconds`; 0 stands for ever. `tell` is
        called when all have connected, and `every` so many seconds. Returns the last record.
        """
        self._began = time.monotonic()
        starting = asyncio.create_task(self._start())
        ending = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                {starting, ending}, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED
            )
            if starting.done():
                await starting  # its error, if there is one
                await self._all_ready(ending, seconds)
            while not ending.done() and (left := self._left(seconds)) > 0:
                tell(self)
                await asyncio.wait({ending}, timeout=min(every, left))
            return self.record()
        finally:
            starting.cancel()
            ending.cancel()
            await self._leave()

    def _left(self, seconds: float) -> float:
        return seconds - (time.monotonic() - self._began) if seconds else float("inf")

    async def _start(self) -> None:
        for number, board in enumerate(self.boards):
            pause = self._began + number / self._plan.rate - time.monotonic()
            if pause > 0.01:
                await asyncio.sleep(pause)
            board.start()

    async def _all_ready(self, ending: "asyncio.Task[Any]", seconds: float) -> None:
        """Wait until all are there and listen, but not for those that do not come: not on when none
        more has come for a while.
        """
        most, deadline = -1, 0.0
        while (ready := sum(board.ready for board in self.boards)) < len(self.boards):
            if ready > most:
                most, deadline = ready, time.monotonic() + _CONNECT_S
            if ending.done() or self._left(seconds) <= 0 or time.monotonic() > deadline:
                return
            await asyncio.wait({ending}, timeout=0.05)

    async def _leave(self) -> None:
        for board in self.boards:
            board.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(_FLUSH_S)  # what is written goes out while connections close
        deadline = time.monotonic() + _LEAVE_S
        while self._tasks and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def _connect(self, line: Line) -> None:
        task = asyncio.get_running_loop().create_task(self._open(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, line: Line) -> None:
        settings = self._settings
        try:
            opening = asyncio.get_running_loop().create_connection(
                lambda: line, settings.server, settings.port, ssl=self._context
            )
            await asyncio.wait_for(opening, _CONNECT_S)
        except (TimeoutError, OSError) as error:
            line.fail(str(error) or f"no connection within {_CONNECT_S:g} s")


def check_room(connection: Connection, plan: Plan) -> None:
    """Raise UsageError if there are boards already, which are none of a crowd."""
    wanted = set(plan.prefixes())
    with Roster(connection, plan.wide) as roster:
        seen = roster.settle()
    others = [
        prefix
        for prefix, sighting in seen.items()
        if prefix in wanted and not str(sighting.status.get("id")).startswith(ID)
    ]
    if others:
        raise UsageError(
            f"There are boards already at {len(others)} of these prefixes, as {others[0]}: the "
            "crowd would take their places. Choose another --prefix."
        )


def clear(connection: Connection, plan: Plan) -> None:
    """Have the broker forget the statuses of the crowd; ToolError if it does not."""
    prefixes = plan.prefixes()
    for _ in range(_CLEARINGS):  # a will may come behind it
        _forget(connection, prefixes)
        with Roster(connection, plan.wide) as roster:
            prefixes = sorted(roster.settle().keys() & set(prefixes))
        if not prefixes:
            return
    raise ToolError(_LEFT)


def _forget(connection: Connection, prefixes: Sequence[str]) -> None:
    messages = [
        connection.publish(mqwire.status_topic(prefix), b"", retain=True) for prefix in prefixes
    ]
    deadline = time.monotonic() + max(10.0, len(prefixes) / 200)
    for message in messages:
        try:
            message.wait_for_publish(max(0.0, deadline - time.monotonic()))
            done = message.is_published()
        except (RuntimeError, ValueError):  # without a connection
            done = False
        if not done:
            raise ToolError(_LEFT)


def allow_files(boards: int) -> None:
    """Let this process have a connection for each board; UsageError if it may not."""
    wanted = boards + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{boards:,} boards need {wanted:,} open files, and {hard:,} are allowed here: "
            f"ulimit -Hn {wanted}, as root, or fewer --boards."
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

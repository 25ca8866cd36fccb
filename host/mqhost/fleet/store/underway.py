"""Keeps which jobs are under way, and at which server: what a server that died was in the middle of
is told by the next one, and does not vanish.

A row is there from a job's beginning to its end, each written with what the audit says of that.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import ColumnElement, delete, insert, select

from mqhost.fleet.store import audit
from mqhost.fleet.store.database import Database
from mqhost.fleet.store.records import Entry
from mqhost.fleet.store.servers import ALIVE
from mqhost.fleet.store.tables import jobs, servers


@dataclass(frozen=True)
class Begun:
    """A job that was begun at the Unix time `asked_at`, for the board at a prefix."""

    id: str
    board: str
    who: str
    what: str
    asked_at: float


class UnderWay:
    """The jobs under way at `broker`. This server is `server`, and `place` is where it listens: no
    other one can be there.
    """

    def __init__(self, database: Database, broker: str, server: str, place: str) -> None:
        self._database = database
        self._broker = broker
        self._server = server
        self._place = place

    def begin(self, job: Begun) -> None:
        """Note that a job is begun."""
        row = asdict(job) | {"broker": self._broker, "server": self._server, "place": self._place}
        with self._database.change() as connection:
            connection.execute(insert(jobs).values(row))
            audit.note(connection, [_entry(job, job.asked_at, "begun")])

    def end(self, job: Begun, at: float, result: str) -> None:
        """Note that a job has ended, and with which result."""
        with self._database.change() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job.id))
            audit.note(connection, [_entry(job, at, result)])

    def take_left(self, result: str, here: bool = False) -> Sequence[Begun]:
        """Return the jobs of servers that are no more, and note `result` of each: once, whichever
        server asks. `here`: also those of a server that was at this one's place before it.
        """
        with self._database.change() as connection:
            self._database.lock(connection)
            now = self._database.now(connection)
            alive = select(servers.c.id).where(servers.c.seen_at >= now - ALIVE)
            gone: ColumnElement[bool] = jobs.c.server.not_in(alive)
            if here:
                gone |= jobs.c.place == self._place
            query = select(*(jobs.c[field.name] for field in fields(Begun)))
            query = query.where(jobs.c.broker == self._broker, jobs.c.server != self._server, gone)
            left = [Begun(*row) for row in connection.execute(query.order_by(jobs.c.asked_at))]
            for job in left:
                connection.execute(delete(jobs).where(jobs.c.id == job.id))
            audit.note(connection, [_entry(job, now, result) for job in left])
        return left


def _entry(job: Begun, at: float, result: str) -> Entry:
    return Entry(at, job.who, job.what, None, job.board, result)

"""Keeps rollouts: makes them, shows them, and changes them as people and drivers wish.

People change a rollout at any time (`change`); the one driver that holds its lease changes it step
by step (`keep`). Each of both is one transaction. What people change counts up the revision of the
rollout, and what a driver decided on an older one is refused: it looks again.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from mqhost.errors import UsageError
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.plan import Plan
from mqhost.fleet.rollout.states import ABORTED, ENDED, FINISHED, Board, Rollout
from mqhost.fleet.store import audit, imagetable, leases, tables
from mqhost.fleet.store.database import Database
from mqhost.fleet.store.records import Entry, StaleError
from mqhost.signing.offer import Offer

_ALL = tables.rollouts
_BOARDS = tables.boards
Edit = Callable[[Rollout, list[Board], float], tuple[Rollout, list[Board]]]


class Store:
    """The rollouts in the database at `place`, see Database."""

    def __init__(self, place: str | None = None, clock: Callable[[], float] | None = None) -> None:
        self.database = Database(place, clock)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Looking

    def rollouts(self, broker: str | None = None) -> list[Rollout]:
        """Return all rollouts, or those at `broker`, the last one first."""
        query = select(_ALL).order_by(_ALL.c.id.desc())
        if broker is not None:
            query = query.where(_ALL.c.broker == broker)
        with self.database.look() as connection:
            return [_rollout(row) for row in connection.execute(query)]

    def rollout(self, number: int) -> Rollout:
        """Return a rollout; UsageError if there is none of that number."""
        with self.database.look() as connection:
            return _read(connection, number)

    def read(self, number: int) -> tuple[Rollout, list[Board]]:
        """Return a rollout and its boards, in their order, both as of one moment."""
        with self.database.look() as connection:
            return _read(connection, number), _read_boards(connection, number)

    def counts(self) -> dict[int, dict[str, int]]:
        """Return of each rollout how many boards are in which state."""
        number, state = _BOARDS.c.rollout_id, _BOARDS.c.state
        query = select(number, state, func.count()).group_by(number, state)
        counts: dict[int, dict[str, int]] = {}
        with self.database.look() as connection:
            for rollout, name, count in connection.execute(query):
                counts.setdefault(rollout, {})[name] = count
        return counts

    def image(self, sha256: str) -> tuple[Offer, bytes]:
        """Return an image of a rollout; UsageError if it is not there."""
        with self.database.look() as connection:
            return imagetable.read(connection, sha256)

    def entries(self, number: int | None = None, board: str | None = None) -> list[Entry]:
        """Return what was done, of all rollouts or of one, and of one board, the first first."""
        with self.database.look() as connection:
            return audit.read(connection, number, board)

    def audit(
        self,
        *,
        board: str | None = None,
        who: str | None = None,
        what: str | None = None,
        number: int | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[tuple[int, Entry]]:
        """Return what was done with the number of each entry, the last first, at most `limit`: what
        begins with `what`, at or after the Unix time `since`, with a number below `before`.
        """
        with self.database.look() as connection:
            return audit.find(connection, board, who, what, number, since, before, limit)

    def images(self) -> list[tuple[Offer, float]]:
        """Return the offers of the images, and when each was added, the last one first."""
        with self.database.look() as connection:
            return imagetable.listed(connection)

    def image_named(self, start: str) -> str:
        """Return the SHA-256 of the image whose SHA-256 begins so; UsageError if there is none, or
        more than one.
        """
        with self.database.look() as connection:
            return imagetable.named(connection, start)

    def driver(self, number: int) -> str | None:
        """Return who drives a rollout; None if nobody does."""
        with self.database.look() as connection:
            return leases.owner(connection, number, self.database.now(connection))

    # What people do

    def now(self) -> float:
        """Return the time by the clock of the database."""
        with self.database.look() as connection:
            return self.database.now(connection)

    def note(self, entries: Iterable[Entry]) -> None:
        """Keep `entries` in the audit."""
        with self.database.change() as connection:
            audit.note(connection, entries)

    def add_image(self, offer: Offer, app: bytes) -> None:
        """Keep an image; UsageError if it is too large, or not what `offer` describes."""
        with self.database.change() as connection:
            self.database.lock(connection)
            imagetable.keep(connection, offer, app, self.database.now(connection))
            imagetable.make_room(connection)

    def remove_image(self, sha256: str) -> None:
        """Remove an image; UsageError if a rollout has it, or it is not there."""
        with self.database.change() as connection:
            self.database.lock(connection)
            imagetable.drop(connection, [imagetable.named(connection, sha256)])
            if imagetable.is_there(connection, sha256):
                raise UsageError(
                    f"A rollout has the image {sha256[:16]}…: it goes when that is forgotten."
                )

    def create(
        self,
        plan: Plan,
        images: Iterable[tuple[Offer, bytes]],
        options: Options,
        *,
        broker: str,
        who: str,
    ) -> int:
        """Keep a new rollout with its images; return its number. Raises UsageError if one of its
        boards is still to be updated by another one, or an image is too large.
        """
        needed = {board.image for board in plan.boards if not board.ended}
        with self.database.change() as connection:
            self.database.lock(connection)
            now = self.database.now(connection)
            _need_free(connection, broker, None, plan.boards)
            for offer, app in images:
                if offer.sha256 in needed:
                    imagetable.keep(connection, offer, app, now)
            number = _next_number(connection)
            made = Rollout(number, broker, options, created_at=now, created_by=who)
            values = {"id": number, "broker": broker, "created_at": now, "created_by": who}
            connection.execute(insert(_ALL).values(values | _state(made)))
            rows = [{"rollout_id": number} | asdict(board) for board in plan.boards]
            connection.execute(insert(_BOARDS), rows)
            imagetable.make_room(connection)
            entry = Entry(now, who, "rollout", number, None, f"{len(rows)} boards")
            audit.note(connection, [entry])
        return number

    def change(self, number: int, who: str, what: str, edit: Edit) -> Rollout:
        """Change a rollout by `edit`, which is given it, its boards and the time; return it as it
        is then. `what` is the word for the audit. What `edit` raises changes nothing.
        """
        with self.database.change() as connection:
            self.database.lock(connection)
            now = self.database.now(connection)
            before = _read(connection, number, lock=True)
            boards = _read_boards(connection, number)
            after, edited = edit(before, boards, now)
            changed = [new for old, new in zip(boards, edited, strict=True) if new != old]
            old = {board.prefix: board for board in boards}
            reopened = [board for board in changed if old[board.prefix].ended]
            _need_free(connection, before.broker, number, reopened)
            values = _state(after) | {"revision": before.revision + 1}
            connection.execute(update(_ALL).where(_ALL.c.id == number).values(values))
            _write_boards(connection, number, changed)
            result = after.state + (f": {after.reason}" if after.reason else "")
            audit.note(connection, [Entry(now, who, what, number, None, result)])
        return self.rollout(number)

    def forget(self, number: int, who: str) -> None:
        """Remove a rollout that is over, and the images that no other one has; what the audit says
        of it stays. UsageError if something may still become of it.
        """
        with self.database.change() as connection:
            self.database.lock(connection)
            now = self.database.now(connection)
            rollout = _read(connection, number, lock=True)
            boards = _read_boards(connection, number)
            if rollout.state not in (ABORTED, FINISHED) or not all(one.ended for one in boards):
                raise UsageError(
                    f"Rollout {number} is {rollout.state}, and not over. Abort it first."
                )
            for table in (tables.leases, _BOARDS):
                connection.execute(delete(table).where(table.c.rollout_id == number))
            connection.execute(delete(_ALL).where(_ALL.c.id == number))
            imagetable.drop(connection, {board.image for board in boards})
            audit.note(connection, [Entry(now, who, "forget", number, None, "")])

    # What drivers do

    def claim(self, number: int, owner: str, ttl: float) -> bool:
        """Take the lease of a rollout for `ttl` seconds; return whether `owner` has it now."""
        with self.database.change() as connection:
            self.database.lock(connection)
            return leases.claim(connection, number, owner, self.database.now(connection), ttl)

    def renew(self, number: int, owner: str, ttl: float) -> None:
        """Keep the lease of a rollout. Raises LeaseLost if another has taken it meanwhile, even if
        nobody has it any more.
        """
        with self.database.change() as connection:
            leases.renew(connection, number, owner, self.database.now(connection), ttl)

    def release(self, number: int, owner: str) -> None:
        """Give the lease of a rollout back, if `owner` has it."""
        with self.database.change() as connection:
            leases.release(connection, number, owner)

    def keep(
        self,
        owner: str,
        ttl: float,
        rollout: Rollout,
        boards: Iterable[Board],
        entries: Iterable[Entry] = (),
    ) -> None:
        """Write what a driver has decided. Raises LeaseLost if `owner` drives it no more,
        StaleError if its revision is another one now; then nothing was written.
        """
        with self.database.change() as connection:
            leases.renew(connection, rollout.id, owner, self.database.now(connection), ttl)
            written = connection.execute(
                update(_ALL)
                .where(_ALL.c.id == rollout.id, _ALL.c.revision == rollout.revision)
                .values(state=rollout.state, reason=rollout.reason, wave=rollout.wave)
            )
            if not written.rowcount:
                raise StaleError
            _write_boards(connection, rollout.id, boards)
            audit.note(connection, entries)


def _next_number(connection: Connection) -> int:
    """Return the number of a new rollout: none has it, and none had it that is forgotten."""
    highest = [
        connection.execute(select(func.max(column))).scalar_one() or 0
        for column in (_ALL.c.id, tables.audit.c.rollout_id)
    ]
    return max(highest) + 1


def _state(rollout: Rollout) -> dict[str, Any]:
    """Return the columns that people change."""
    return {
        "options": json.dumps(rollout.options.record()),
        "state": rollout.state,
        "reason": rollout.reason,
        "wave": rollout.wave,
        "revision": rollout.revision,
    }


def _read(connection: Connection, number: int, lock: bool = False) -> Rollout:
    query = select(_ALL).where(_ALL.c.id == number)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UsageError(f"There is no rollout {number} in this database.")
    return _rollout(row)


def _rollout(row: Row[Any]) -> Rollout:
    values = row._asdict()
    return Rollout(**values | {"options": Options.parse(**json.loads(values["options"]))})


def _read_boards(connection: Connection, number: int) -> list[Board]:
    columns = [_BOARDS.c[field.name] for field in fields(Board)]
    query = select(*columns).where(_BOARDS.c.rollout_id == number).order_by(_BOARDS.c.place)
    return [Board(*row) for row in connection.execute(query)]


def _write_boards(connection: Connection, number: int, boards: Iterable[Board]) -> None:
    rows = [{f"new_{name}": value for name, value in asdict(board).items()} for board in boards]
    if not rows:
        return
    settable = [field.name for field in fields(Board) if field.name != "prefix"]
    connection.execute(
        update(_BOARDS)
        .where(_BOARDS.c.rollout_id == number, _BOARDS.c.prefix == bindparam("new_prefix"))
        .values({name: bindparam(f"new_{name}") for name in settable}),
        rows,
    )


def _need_free(
    connection: Connection, broker: str, number: int | None, boards: Iterable[Board]
) -> None:
    """Raise UsageError if another rollout at `broker` is still to update one of `boards`."""
    wanted = {board.prefix for board in boards if not board.ended}
    if not wanted:
        return
    query = (
        select(_BOARDS.c.prefix, _ALL.c.id, _ALL.c.state)
        .join(_ALL, _ALL.c.id == _BOARDS.c.rollout_id)
        .where(
            _ALL.c.broker == broker,
            _ALL.c.state != FINISHED,
            _BOARDS.c.state.not_in(ENDED),
            _ALL.c.id != (-1 if number is None else number),
        )
    )
    for prefix, other, state in connection.execute(query):
        if prefix in wanted:
            raise UsageError(
                f"{prefix} is still to be updated by rollout {other}, which is {state}. Wait until "
                "that has finished, or abort it."
            )

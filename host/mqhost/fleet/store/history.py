"""Keeps what boards said over time, bounded: heap, RSSI and reconnects in spans of 5 minutes for
two days and of an hour for 90 days, and the last lines that each board logged.

What is added is put into the span that it belongs to; several servers may do so at the same time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, case, cast, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from mqhost.errors import UsageError
from mqhost.fleet.store.database import Database
from mqhost.fleet.store.tables import board_log, history, history_boards

FINE, COARSE = 300, 3600  # seconds of a span
KEPT = {FINE: 2 * 86400, COARSE: 90 * 86400}  # seconds
HEAP, RSSI, RECONNECTS = "heap", "rssi", "reconnects"
WHATS = (HEAP, RSSI, RECONNECTS)
LINES = 200  # that are kept of each board
LINES_KEPT = 3 * 86400  # seconds
LONGEST_LINE = 1000  # characters
_POINTS = 500  # of a picture
_MANY = 500  # boards in one question
LOG, CRASH = "log", "crash"
_NOTHING = (None, None, 0)


@dataclass(frozen=True)
class Sample:
    """What was heard of a board at the Unix time `at`: bytes of free heap, dBm, and how many times
    it came back."""

    prefix: str
    at: float
    heap: int | None = None
    rssi: int | None = None
    reconnects: int = 0


@dataclass(frozen=True)
class Line:
    """What a board logged: a line, or with the kind CRASH a record as JSON."""

    prefix: str
    at: float
    text: str
    kind: str = LOG


class History:
    """The history of the boards at `broker`."""

    def __init__(self, database: Database, broker: str) -> None:
        self._database = database
        self._broker = broker
        self._ids: dict[str, int] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Add what was heard of boards; what says nothing is left out."""
        given = [one for one in samples if (one.heap, one.rssi, one.reconnects) != _NOTHING]
        if not given:
            return
        with self._database.change() as connection:
            ids = self._boards(connection, {one.prefix for one in given})
            rows = [_row(ids[one.prefix], step, one) for step in (FINE, COARSE) for one in given]
            rows.sort(key=lambda row: (row["step"], row["board"], row["at"]))
            connection.execute(_upsert(connection), rows)
        self._ids |= ids  # they are there from now on

    def points(self, prefix: str, what: str, hours: float) -> list[tuple[int, float | None]]:
        """Return what was heard of a board in the last `hours`, the oldest first: the Unix time of
        a span, and its value. At most 500, thinned out; UsageError for what is not kept.
        """
        if what not in WHATS:
            raise UsageError(f"{what!r:.40} is not kept: {', '.join(WHATS)} are.")
        step = FINE if hours * 3600 <= KEPT[FINE] else COARSE
        column = history.c[what]
        query = (
            select(history.c.at, column)
            .join(history_boards, history_boards.c.id == history.c.board)
            .where(
                history_boards.c.broker == self._broker,
                history_boards.c.prefix == prefix,
                history.c.step == step,
            )
            .order_by(history.c.at)
        )
        with self._database.look() as connection:
            since = self._database.now(connection) - hours * 3600
            found = connection.execute(query.where(history.c.at > since - step)).all()
        return _thinned([(int(at), value) for at, value in found], what)

    def latest(self, since: float) -> dict[str, Sample]:
        """Return of each board what was heard last, since that Unix time."""
        query = (
            select(history_boards.c.prefix, history.c.at, history.c.heap, history.c.rssi)
            .join(history_boards, history_boards.c.id == history.c.board)
            .where(
                history_boards.c.broker == self._broker,
                history.c.step == FINE,
                history.c.at >= since,
                history.c.heap.is_not(None),
            )
            .order_by(history.c.at)
        )
        with self._database.look() as connection:
            return {
                prefix: Sample(prefix, at, _whole(heap), _whole(rssi))
                for prefix, at, heap, rssi in connection.execute(query)
            }

    def write(self, lines: Iterable[Line]) -> None:
        """Keep lines of logs, cut where they are long; of each board the last ones."""
        given = list(lines)
        if not given:
            return
        with self._database.change() as connection:
            ids = self._boards(connection, {one.prefix for one in given})
            rows = [
                {
                    "board": ids[one.prefix],
                    "at": one.at,
                    "kind": one.kind,
                    "text": one.text if one.kind == CRASH else one.text[:LONGEST_LINE],
                }
                for one in given
            ]
            connection.execute(insert(board_log), rows)
            for prefix in sorted({one.prefix for one in given}):
                _cut(connection, ids[prefix])
        self._ids |= ids

    def lines(self, prefix: str, kind: str = LOG, most: int = LINES) -> list[tuple[float, str]]:
        """Return the last lines of a board's log, or its crashes, the oldest first: the Unix time,
        and the text."""
        query = (
            select(board_log.c.at, board_log.c.text)
            .join(history_boards, history_boards.c.id == board_log.c.board)
            .where(
                history_boards.c.broker == self._broker,
                history_boards.c.prefix == prefix,
                board_log.c.kind == kind,
            )
            .order_by(board_log.c.id.desc())
            .limit(most)
        )
        with self._database.look() as connection:
            return [(at, text) for at, text in connection.execute(query)][::-1]

    def prune(self) -> None:
        """Remove what is too old."""
        with self._database.change() as connection:
            now = self._database.now(connection)
            for step, kept in KEPT.items():
                old = (history.c.step == step) & (history.c.at < now - kept)
                connection.execute(delete(history).where(old))
            connection.execute(delete(board_log).where(board_log.c.at < now - LINES_KEPT))

    def _boards(self, connection: Connection, prefixes: set[str]) -> dict[str, int]:
        """Return the numbers of boards; those that have none get one."""
        ids = {prefix: self._ids[prefix] for prefix in prefixes if prefix in self._ids}
        missing = sorted(prefixes - ids.keys())
        for start in range(0, len(missing), _MANY):
            some = missing[start : start + _MANY]
            rows = [{"broker": self._broker, "prefix": prefix} for prefix in some]
            made = insert_into(connection, history_boards).on_conflict_do_nothing()
            connection.execute(made, rows)
            query = select(history_boards.c.prefix, history_boards.c.id).where(
                history_boards.c.broker == self._broker, history_boards.c.prefix.in_(some)
            )
            ids |= {prefix: number for prefix, number in connection.execute(query)}
        return ids


def insert_into(connection: Connection, table: Any) -> Any:
    """Return an INSERT that can tell what to do about a row that is there."""
    postgres = connection.dialect.name == "postgresql"
    return postgresql.insert(table) if postgres else sqlite.insert(table)


def _row(board: int, step: int, one: Sample) -> dict[str, Any]:
    return {
        "board": board,
        "step": step,
        "at": int(one.at // step * step),
        "samples": int(one.heap is not None or one.rssi is not None),
        "heap": one.heap,
        "heap_low": one.heap,
        "rssi": one.rssi,
        "rssi_low": one.rssi,
        "reconnects": one.reconnects,
    }


def _upsert(connection: Connection) -> Any:
    """Return what adds to a span, or begins it."""
    made = insert_into(connection, history)
    there, new = history.c, made.excluded
    count = there.samples + new.samples

    def mean(name: str) -> Any:
        whole = there[name] * there.samples + new[name] * new.samples
        return func.coalesce(whole / cast(func.nullif(count, 0), Float), new[name], there[name])

    def low(name: str) -> Any:
        smaller = case((new[name] < there[name], new[name]), else_=there[name])
        return func.coalesce(smaller, new[name])

    return made.on_conflict_do_update(
        index_elements=[there.board, there.step, there.at],
        set_={
            "samples": count,
            "heap": mean("heap"),
            "heap_low": low("heap_low"),
            "rssi": mean("rssi"),
            "rssi_low": low("rssi_low"),
            "reconnects": there.reconnects + new.reconnects,
        },
    )


def _cut(connection: Connection, board: int) -> None:
    """Remove the oldest lines of a board, where there are more than are kept."""
    mine = board_log.c.board == board
    query = select(board_log.c.id).where(mine).order_by(board_log.c.id.desc())
    first = connection.execute(query.offset(LINES).limit(1)).scalar_one_or_none()
    if first is not None:
        connection.execute(delete(board_log).where(mine, board_log.c.id <= first))


def _thinned(
    points: Sequence[tuple[int, float | None]], what: str
) -> list[tuple[int, float | None]]:
    """Return at most _POINTS: reconnects added up, of all else the mean."""
    size = -(-len(points) // _POINTS) or 1
    thin = []
    for start in range(0, len(points), size):
        some = points[start : start + size]
        values = [value for _, value in some if value is not None]
        total = sum(values) if values else None
        mean = total if total is None or what == RECONNECTS else total / len(values)
        thin.append((some[0][0], None if mean is None else round(mean, 1)))
    return thin


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)

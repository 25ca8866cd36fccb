"""Notes who did what, when, to which board, with which result; nothing of it is ever changed."""

from collections.abc import Iterable
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from mqhost.fleet.store.records import Entry
from mqhost.fleet.store.tables import audit


def note(connection: Connection, entries: Iterable[Entry]) -> None:
    """Add `entries`."""
    rows = [asdict(entry) for entry in entries]
    if rows:
        connection.execute(insert(audit), rows)


def read(connection: Connection, number: int | None, board: str | None) -> list[Entry]:
    """Return the entries, or those of a rollout or a board, the first first."""
    query = select(*(audit.c[field.name] for field in fields(Entry))).order_by(audit.c.id)
    if number is not None:
        query = query.where(audit.c.rollout_id == number)
    if board is not None:
        query = query.where(audit.c.board == board)
    return [Entry(*row) for row in connection.execute(query)]


def find(
    connection: Connection,
    board: str | None,
    who: str | None,
    what: str | None,
    number: int | None,
    since: float | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Entry]]:
    """Return the entries for which all that is given holds, with their numbers, the last first."""
    if any("\0" in (text or "") for text in (board, who, what)):
        return []  # no entry has that in it, and PostgreSQL cannot even be asked
    columns = (audit.c[field.name] for field in fields(Entry))
    query = select(audit.c.id, *columns).order_by(audit.c.id.desc()).limit(limit)
    given = {audit.c.board: board, audit.c.who: who, audit.c.rollout_id: number}
    for column, value in given.items():
        if value is not None:
            query = query.where(column == value)
    if what is not None:
        query = query.where(audit.c.what.startswith(what, autoescape=True))
    if since is not None:
        query = query.where(audit.c.at >= since)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [(row[0], Entry(*row[1:])) for row in connection.execute(query)]

"""Opens the database, SQLite or PostgreSQL, and gives transactions in it.

What goes wrong there is raised as StoreError, in a sentence, without the password. A change is one
transaction: of SQLite it takes the write lock at once, so that nobody who waits for it can be
refused later.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mqhost.errors import UsageError
from mqhost.fleet.store import tables
from mqhost.fleet.store.records import StoreError
from mqhost.paths import state_dir

_BUSY = 20  # seconds that a transaction waits for others
_READS = "mqboard_reads"
_LOCK = 0x6D7162  # a number that all of us lock in PostgreSQL


class Database:
    """The database at `place`: a file's path, sqlite:///PATH or postgresql://USER@HOST/NAME; None
    is a file in the user's state folder. What is missing in it is made.

    `clock` gives Unix times instead of the database's own clock, which all of its users share.
    Raises UsageError for a place that is none and for a database of a newer mqboard, StoreError.
    """

    def __init__(self, place: str | None = None, clock: Callable[[], float] | None = None) -> None:
        self.url = database_url(place)
        self.where = self.url.render_as_string(hide_password=True).replace("+psycopg", "")
        self._clock = clock
        self._engine = _make_engine(self.url)
        self._postgres = self._engine.dialect.name == "postgresql"
        try:
            with self.change() as connection:
                self._prepare(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """Give a transaction that is kept when the `with` block ends well, and else undone."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database while the `with` block runs."""
        options: dict[str, Any] = {_READS: True}
        if self._postgres:
            options["isolation_level"] = "REPEATABLE READ"
        with self._errors(), self._engine.connect() as connection:
            yield connection.execution_options(**options)

    def now(self, connection: Connection) -> float:
        """Return the time by the clock that all users of the database share."""
        if self._clock is not None:
            return self._clock()
        if self._postgres:
            return float(
                connection.execute(
                    select(func.extract("epoch", func.clock_timestamp()))
                ).scalar_one()
            )
        return time.time()

    def lock(self, connection: Connection) -> None:
        """Let nobody else pass here until the transaction ends."""
        if self._postgres:  # a change of SQLite locks all of it anyway
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))

    def _prepare(self, connection: Connection) -> None:
        """Make the tables in an empty database, and those that an older one has not; UsageError if
        there are newer ones.
        """
        self.lock(connection)
        if not inspect(connection).has_table(tables.schema.name):
            tables.metadata.create_all(connection)
            connection.execute(insert(tables.schema).values(version=tables.VERSION))
        found = connection.execute(select(tables.schema.c.version)).scalar_one()
        for version, made in ((2, tables.SINCE_2), (3, tables.SINCE_3)):
            if found == version - 1:
                tables.metadata.create_all(connection, made)
                connection.execute(update(tables.schema).values(version=version))
                found = version
        if found != tables.VERSION:
            raise UsageError(
                f"The database {self.where} has schema {found}, and this mqboard knows schema "
                f"{tables.VERSION}. Use the mqboard version that made it, or another database."
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            original = getattr(error, "orig", None)
            cause = str(original or error).strip().partition("\n")[0]
            code = getattr(original, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL:
                raise StoreError(
                    f"The database {self.where} cannot be written: its disk is full. Make room "
                    "there, then do the same again: nothing is lost."
                ) from error
            if code == sqlite3.SQLITE_NOTADB:
                raise StoreError(
                    f"The file {self.url.database} is no database, but something else: it is left "
                    "as it is. Name another file with --database (fleet.db is made where there is "
                    "none)."
                ) from error
            raise StoreError(
                f"The database {self.where} cannot be used: {cause:.300}. See whether it runs and "
                "may be written, then do the same again: nothing is lost."
            ) from error


def database_url(place: str | None) -> URL:
    """Return where the database is, as SQLAlchemy has it; UsageError if `place` is none."""
    if place is None:
        return URL.create("sqlite", database=str(state_dir() / "fleet.db"))
    if "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().resolve()))
    try:
        url = make_url(place)
    except ArgumentError:
        url = URL.create("none")
    name = url.get_backend_name()
    if name == "postgresql" and url.database:
        return url.set(drivername="postgresql+psycopg")
    if name == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite")
    shown = url.render_as_string(hide_password=True) if name != "none" else "What was given"
    raise UsageError(
        f"{shown:.100} names no database that can be used: give a file's path, or "
        "postgresql://USER:PASSWORD@HOST/NAME."
    )


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _BUSY // 2})
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    engine = create_engine(url, connect_args={"timeout": _BUSY})

    # The driver of Python's sqlite3 would begin transactions by its own rules: we do that.
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(_READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine

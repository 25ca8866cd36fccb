"""Tells which servers there are on a database, so that each does its share of what is done once."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import delete, select

from mqhost.fleet.store.database import Database
from mqhost.fleet.store.history import insert_into
from mqhost.fleet.store.tables import servers

ALIVE = 60.0  # seconds after its last sign that a server counts


class Servers:
    """The servers on `database`; this one is `name`."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._alive: Sequence[str] = (name,)

    @property
    def alive(self) -> Sequence[str]:
        """The servers that there were at the last sign, this one among them."""
        return self._alive

    def sign(self) -> None:
        """Say that this server is there, and look who else is."""
        with self._database.change() as connection:
            now = self._database.now(connection)
            connection.execute(delete(servers).where(servers.c.seen_at < now - ALIVE))
            made = insert_into(connection, servers).values(id=self._name, seen_at=now)
            connection.execute(
                made.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now})
            )
            found = connection.execute(select(servers.c.id).order_by(servers.c.id)).scalars()
            self._alive = tuple(found)

    def leave(self) -> None:
        """Say that this server ends."""
        with self._database.change() as connection:
            connection.execute(delete(servers).where(servers.c.id == self._name))

    def mine(self, prefix: str) -> bool:
        """Return whether a board is one that this server cares for: each is one's, and stays so
        when others come and go, as far as can be.
        """
        alive = self._alive
        return len(alive) < 2 or self._name == max(alive, key=lambda name: _weight(name, prefix))


def _weight(name: str, prefix: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{prefix}".encode(), digest_size=8).digest()

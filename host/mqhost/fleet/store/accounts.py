"""Keeps who may do what: users with their roles, who is logged in, the tokens of scripts, and the
keys that servers sign cookies with. Of a secret that somebody shows, only its hash is kept.
"""

import hashlib
import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, delete, func, insert, select, update

from mqhost.errors import UsageError
from mqhost.fleet.store.database import Database
from mqhost.fleet.store.tables import credentials, secrets, users

SESSION, TOKEN = "session", "token"
_BYTES = 32
_USED = 60.0  # seconds: so exact is when a credential was used last


@dataclass(frozen=True)
class Account:
    """A user: `password` is its argon2 hash, None for one who has none."""

    name: str
    role: str
    password: str | None
    created_at: float


@dataclass(frozen=True)
class Credential:
    """What somebody shows to be let in as `user` with at most `role`; `hash` stands for it."""

    hash: str
    kind: str
    user: str
    label: str
    role: str
    created_at: float
    used_at: float
    expires_at: float | None


class Accounts:
    """The users in `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        """Return whether there is a user."""
        with self._database.look() as connection:
            return bool(connection.execute(select(func.count()).select_from(users)).scalar_one())

    def all(self) -> list[Account]:
        """Return the users by name."""
        with self._database.look() as connection:
            return [Account(*row) for row in connection.execute(select(users).order_by("name"))]

    def get(self, name: str) -> Account | None:
        """Return a user; None if there is none of that name."""
        with self._database.look() as connection:
            return _account(connection, name)

    def add(self, name: str, role: str, password: str | None) -> None:
        """Add a user; UsageError if there is one of that name."""
        with self._database.change() as connection:
            self._database.lock(connection)
            if _account(connection, name):
                raise UsageError(f"There is a user {name} already.")
            row = {"name": name, "role": role, "password": password}
            now = self._database.now(connection)
            connection.execute(insert(users).values(row | {"created_at": now}))

    def edit(self, name: str, *, role: str | None = None, password: str | None = None) -> None:
        """Change what is given of a user, who is logged out by that everywhere; tokens stay when
        it is the role. UsageError if there is none of that name.
        """
        values = {"role": role, "password": password}
        with self._database.change() as connection:
            _need(connection, name)
            given = {key: value for key, value in values.items() if value is not None}
            connection.execute(update(users).where(users.c.name == name).values(given))
            gone = credentials.c.user == name
            if password is None:
                gone &= credentials.c.kind == SESSION
            connection.execute(delete(credentials).where(gone))

    def remove(self, name: str) -> None:
        """Remove a user, and all that lets somebody in as that one."""
        with self._database.change() as connection:
            _need(connection, name)
            connection.execute(delete(credentials).where(credentials.c.user == name))
            connection.execute(delete(users).where(users.c.name == name))

    # What is shown

    def issue(
        self, user: str, kind: str, role: str, label: str = "", seconds: float | None = None
    ) -> str:
        """Make a credential, and return the secret to show; UsageError if there is no such user."""
        secret = random.token_urlsafe(_BYTES)
        with self._database.change() as connection:
            _need(connection, user)
            now = self._database.now(connection)
            connection.execute(delete(credentials).where(credentials.c.expires_at <= now))
            made = Credential(
                _hash(secret), kind, user, label, role, now, now, now + seconds if seconds else None
            )
            connection.execute(insert(credentials).values(made.__dict__))
        return secret

    def known(self, secret: str, kind: str) -> tuple[Account, Credential] | None:
        """Return whose credential that is; None if it is none, or not any more."""
        shown = _hash(secret)
        query = (
            select(users, *(credentials.c[field.name] for field in fields(Credential)))
            .join(credentials, credentials.c.user == users.c.name)
            .where(credentials.c.hash == shown, credentials.c.kind == kind)
        )
        with self._database.look() as connection:
            row = connection.execute(query).one_or_none()
            now = self._database.now(connection)
        if row is None:
            return None
        account, credential = Account(*row[:4]), Credential(*row[4:])
        if credential.expires_at is not None and credential.expires_at <= now:
            return None
        if now - credential.used_at > _USED:
            with self._database.change() as connection:
                this = credentials.c.hash == shown
                connection.execute(update(credentials).where(this).values(used_at=now))
        return account, credential

    def revoke(self, secret: str) -> None:
        """Let nobody in with that any more."""
        with self._database.change() as connection:
            connection.execute(delete(credentials).where(credentials.c.hash == _hash(secret)))

    def tokens(self, user: str) -> Sequence[Credential]:
        """Return the tokens of a user, the oldest first."""
        query = (
            select(*(credentials.c[field.name] for field in fields(Credential)))
            .where(credentials.c.user == user, credentials.c.kind == TOKEN)
            .order_by(credentials.c.created_at)
        )
        with self._database.look() as connection:
            return [Credential(*row) for row in connection.execute(query)]

    def revoke_token(self, user: str, label: str) -> None:
        """Remove the tokens of a user with that label; UsageError if there is none."""
        with self._database.change() as connection:
            these = (credentials.c.user == user) & (credentials.c.label == label)
            these &= credentials.c.kind == TOKEN
            if not connection.execute(delete(credentials).where(these)).rowcount:
                raise UsageError(f"{user} has no token {label}.")

    def key(self, name: str) -> str:
        """Return the key of that name, which all servers share; made when it is first asked for."""
        with self._database.change() as connection:
            self._database.lock(connection)
            query = select(secrets.c.value).where(secrets.c.name == name)
            value = connection.execute(query).scalar_one_or_none()
            if value is None:
                value = random.token_urlsafe(_BYTES)
                connection.execute(insert(secrets).values(name=name, value=value))
            return str(value)


def _account(connection: Connection, name: str) -> Account | None:
    row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    return Account(*row) if row else None


def _need(connection: Connection, name: str) -> None:
    if _account(connection, name) is None:
        raise UsageError(f"There is no user {name}. mqboard fleet user list shows who there is.")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

"""Knows users and their passwords: who may look at boards, operate them, and update them.

Passwords are kept as argon2 hashes. Whether a name exists is not to be told by how long a wrong
password takes.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from mqhost.errors import UsageError
from mqhost.fleet.store.accounts import SESSION, TOKEN, Account, Accounts, Credential

LOOK, OPERATE, UPDATE = ROLES = ("look", "operate", "update")
SESSION_SECONDS = 7 * 24 * 3600
_SHORTEST, _LONGEST = 8, 1024  # characters of a password
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB for a moment


@dataclass(frozen=True)
class User:
    """Who asks, and the role that he has with that."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Return whether that is enough for what takes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


# Everybody on this machine, while there are no users.
LOCAL = User("local", UPDATE)


def check_name(name: str) -> None:
    """Raise UsageError if nobody can be called that."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r:.80} is no name for a user: letters, digits and . _ @ + -.")
    if name == LOCAL.name:
        raise UsageError(f"{name} is everybody on this machine: choose another name.")


class Users:
    """The users in `accounts`. `hasher` is the one of argon2, with its usual costs."""

    def __init__(self, accounts: Accounts, hasher: PasswordHasher | None = None) -> None:
        self._accounts = accounts
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash("nobody has this password")

    def any(self) -> bool:
        """Return whether there is a user."""
        return self._accounts.any()

    def all(self) -> list[Account]:
        """Return the users by name."""
        return self._accounts.all()

    def named(self, name: str) -> User | None:
        """Return the user of that name, whom somebody who is believed has named."""
        account = self._accounts.get(name)
        return User(account.name, account.role) if account else None

    def add(self, name: str, role: str, password: str | None) -> None:
        """Add a user; without a password one whom only a reverse proxy or a token lets in.

        Raises UsageError for a name that is none, a password that is too short, and one who exists.
        """
        check_name(name)
        self._accounts.add(name, role, None if password is None else self._hashed(password))

    def change(self, name: str, *, role: str | None = None, password: str | None = None) -> None:
        """Change a user's role or password; sessions of that one end, with the password tokens,
        too."""
        hashed = None if password is None else self._hashed(password)
        self._accounts.edit(name, role=role, password=hashed)

    def remove(self, name: str) -> None:
        """Remove a user; all sessions and tokens end."""
        self._accounts.remove(name)

    def check(self, name: str, password: str) -> User | None:
        """Return the user, if that is the password; it takes as long if there is no such user."""
        account = self._accounts.get(name) if _NAME.fullmatch(name) else None
        kept = (account and account.password) or self._nobody
        with _AT_ONCE:
            try:
                self._hasher.verify(kept, password[:_LONGEST])
            except (Argon2Error, InvalidHashError):
                return None
        if account is None or account.password is None:
            return None
        return User(account.name, account.role)

    # What is shown in place of a password

    def login(self, user: User) -> str:
        """Return the secret of a new session."""
        return self._accounts.issue(user.name, SESSION, user.role, seconds=SESSION_SECONDS)

    def of_session(self, secret: str) -> User | None:
        """Return whose session that is; None if it has ended."""
        found = self._accounts.known(secret, SESSION)
        return User(found[0].name, found[0].role) if found else None

    def logout(self, secret: str) -> None:
        """End a session."""
        self._accounts.revoke(secret)

    def token(self, name: str, label: str, role: str, seconds: float | None = None) -> str:
        """Make a token, which lets a script in as that user, with at most `role`."""
        return self._accounts.issue(name, TOKEN, role, label, seconds)

    def tokens(self, name: str) -> Sequence[Credential]:
        """Return the tokens of a user."""
        return self._accounts.tokens(name)

    def remove_token(self, name: str, label: str) -> None:
        """End the tokens of a user with that label; UsageError if there is none."""
        self._accounts.revoke_token(name, label)

    def of_token(self, secret: str) -> User | None:
        """Return whose token that is, with its role; None if it is none."""
        found = self._accounts.known(secret, TOKEN)
        if found is None:
            return None
        account, credential = found
        return User(account.name, min(account.role, credential.role, key=ROLES.index))

    def _hashed(self, password: str) -> str:
        if not _SHORTEST <= len(password) <= _LONGEST:
            raise UsageError(f"A password has {_SHORTEST} to {_LONGEST:,} characters.")
        with _AT_ONCE:
            return self._hasher.hash(password)

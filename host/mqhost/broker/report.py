"""Defines what is asked of a run that makes the folder, and what it says that it did."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from mqhost.broker import mosquitto

BROKER = "mosquitto"  # the folder of what the broker needs


@dataclass(frozen=True)
class Wish:
    """What is asked for beside the file of users. `renew` and `revoke` have names of users; the
    broker's certificate is SERVER. `ca_key`: where the CA's key is, if it is not in the folder.
    `passphrase()` returns that of the key, if it is encrypted; `new_passphrase` encrypts a new one.
    `remove`: who is gone is to be shut out. `replace`: also what a person changed.
    """

    renew: Collection[str] = ()
    revoke: Collection[str] = ()
    ca_key: Path | None = None
    passphrase: Callable[[], str] = str
    new_passphrase: str = field(default="", repr=False)
    remove: bool = False
    replace: bool = False
    dry_run: bool = False


@dataclass
class Report:
    """What was done, or would be: names of users, and of files; `notes` are sentences.

    `revoked` are those who are still there, and of whose certificates or pre-shared keys one is not
    valid any more.

    `edited` are files of the broker that a person has changed since they were made. `expires` says
    when the broker's certificate ends, `ca_expires` the CA's.
    """

    folder: str
    made_ca: bool = False
    added: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    boards: int = 0
    operators: int = 0
    expires: str | None = None
    ca_expires: str = ""

    @property
    def broker_changed(self) -> bool:
        """Whether the broker has to be told: a file of its own was written."""
        return any(name.startswith(f"{BROKER}/") for name in self.written)

    @property
    def restart(self) -> bool:
        """Whether it must be restarted: otherwise what listens where is not read again, and who is
        connected with a certificate or key that was revoked goes on, with the rules of its user.
        """
        return f"{BROKER}/{mosquitto.CONF}" in self.written or bool(self.revoked)

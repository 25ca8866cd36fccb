"""Remembers what was given out: which certificates, and how each file was when it was written.

It is state.json in the folder: without it nobody could revoke a certificate, or tell what a person
changed in a file that was made.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from mqhost.errors import UsageError

NAME = "state.json"
_FORMAT = 1


@dataclass
class Certificate:
    """A client certificate that was issued to `user`: its serial number, when it ends, and since
    when it is revoked; times are Unix seconds."""

    user: str
    serial: int
    until: int
    revoked: int | None = None

    @property
    def end(self) -> datetime:
        """When it ends."""
        return datetime.fromtimestamp(self.until, UTC)


@dataclass
class State:
    """`file`: the file of users that it was made from. `written`: SHA-256 of each file as it was
    made, in hex. `revocations`: how many lists of revoked certificates there have been. `prefixes`:
    those that each board had. `auth_keys`: the key of each board that takes no command without."""

    file: str = ""
    certificates: list[Certificate] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    revocations: int = 0
    prefixes: dict[str, list[str]] = field(default_factory=dict)
    auth_keys: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "State":
        """Read it; UsageError if it is none."""
        try:
            record = json.loads(data)
            if record.pop("format") != _FORMAT:
                raise UsageError(f"{where} is of another version of mqboard. Use that, or newer.")
            certificates = [Certificate(**one) for one in record.pop("certificates")]
            return cls(certificates=certificates, **record)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{where} cannot be read: {error}. Take it back from a backup of the folder."
            ) from error

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        return json.dumps({"format": _FORMAT} | asdict(self), indent=1).encode() + b"\n"

    def certificates_of(self, user: str) -> list[Certificate]:
        """Return the certificates with which `user` gets in, the oldest first."""
        return [one for one in self.certificates if one.user == user and one.revoked is None]

    @property
    def revoked(self) -> dict[int, datetime]:
        """The certificates that are not valid any more, by serial number, and since when."""
        return {
            one.serial: datetime.fromtimestamp(one.revoked, UTC)
            for one in self.certificates
            if one.revoked is not None
        }


def digest(data: bytes) -> str:
    """Return how a file's bytes are remembered."""
    return hashlib.sha256(data).hexdigest()

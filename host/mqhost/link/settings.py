"""Finds out where the broker is and which board is meant: the connection settings of the tool.

Resolved once, from the command line's options, then `MQBOARD_*` environment variables, then
`mqboard.toml` in the current folder, then defaults; checked and frozen. The password has no option
on purpose: a command line is visible to every user of the machine.
"""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.link import schema
from mqwire import WireError, names, rules
from mqwire import config as limits

FILE = "mqboard.toml"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """The broker's address and credentials, the board's prefix, and how long to wait for it.

    `tls` None means: TLS with verification, except to this very machine. `port` 0 means the usual
    one. `ca` is a PEM file that replaces the system's certificates; `cert` and `key` are the
    client's. `id` is how the board's hardware id begins, where several boards have the prefix.
    `timeout` is in seconds: how long a silent board is waited for.
    """

    server: str = "127.0.0.1"
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool | None = None
    ca: str = ""
    cert: str = ""
    key: str = ""
    prefix: str = ""
    id: str = ""
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.tls is None:
            object.__setattr__(self, "tls", self.server not in _LOOPBACK)
        if not self.port:
            object.__setattr__(self, "port", limits.TLS_PORT if self.tls else limits.PLAIN_PORT)
        if not self.server:
            raise UsageError(
                "The server's name is empty: --server, MQBOARD_SERVER or mqboard.toml."
            )
        low, high = schema.key("broker.port").limit
        if not low <= self.port <= high:
            raise UsageError(f"Port {self.port} is not between {low} and {high}.")
        if not 0 < self.timeout < 1e6:
            raise UsageError(f"A timeout of {self.timeout} s makes no sense.")
        if bool(self.cert) != bool(self.key):
            raise UsageError("A client certificate needs both: cert and key.")
        if self.password and not self.username:
            raise UsageError("A password without a username: MQTT has no such thing.")
        if self.prefix:
            check_prefix(self.prefix)
        object.__setattr__(self, "id", self.id.lower())
        if self.id and not (self.id.isascii() and self.id.isalnum()):
            raise UsageError(f"{self.id!r:.40} is no hardware id: digits and letters, as in info.")
        for name in ("server", "username", "password"):
            as_utf8(getattr(self, name), name)
        for name in ("username", "password"):
            try:
                rules.check_credential(getattr(self, name))
            except WireError as error:
                raise UsageError(f"The {name} is too long: {error}.") from error

    @property
    def where(self) -> str:
        """The broker, for sentences."""
        return f"{self.server}:{self.port}" + (" (TLS)" if self.tls else "")

    def need_prefix(self) -> str:
        """Return the prefix; UsageError saying where to give one if there is none."""
        if not self.prefix:
            raise UsageError(
                "Which board? Give its topic prefix: --prefix esp32/test, MQBOARD_PREFIX, or "
                f'prefix = "esp32/test" in {FILE}.'
            )
        return self.prefix

    @classmethod
    def resolve(
        cls,
        options: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> "Settings":
        """Gather settings from all sources; the first that has a value wins (None is no value)."""
        values = _from_file((folder or Path.cwd()) / FILE)
        values |= _from_environment(os.environ if environment is None else environment)
        values |= {key: value for key, value in (options or {}).items() if value is not None}
        return cls(**values)


def check_prefix(prefix: str) -> None:
    """Raise UsageError unless `prefix` can be the root of a board's topics."""
    try:
        names.check_prefix(prefix)
    except WireError as error:
        raise UsageError(f"Prefix {prefix!r:.60} is not possible: {error}.") from error


def as_utf8(text: str, what: str) -> bytes:
    """Return `text` as UTF-8; UsageError if it is not: Python's texts may have half characters."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise UsageError(
            f"{what}: U+{code:04X} in it is half a character. Write it in UTF-8."
        ) from error


def command_line(prefix: str, words: str) -> str:
    """Return the `mqboard` command line that does `words` with the board at `prefix`."""
    return f"mqboard --prefix {shlex.quote(prefix)} {words}"


def _from_file(path: Path) -> dict[str, Any]:
    """Return what mqboard.toml says: flat keys named like the fields of Settings."""
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    known = [item.name for item in fields(Settings)]
    for key, value in record.items():
        if key not in known:
            raise UsageError(f"{path}: unknown key {key}. Known: {', '.join(known)}.")
        record[key] = _typed(key, value, f"{path}: {key}")
    return record


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what MQBOARD_SERVER, MQBOARD_PORT, … say; empty variables count as not set."""
    values = {}
    for item in fields(Settings):
        name = "MQBOARD_" + item.name.upper()
        if environment.get(name):
            values[item.name] = _parsed(item.name, environment[name], name)
    return values


def _parsed(key: str, text: str, where: str) -> Any:
    """Return the value that `text` from the environment spells for field `key`."""
    try:
        if key == "port":
            return int(text)
        if key == "timeout":
            return float(text)
    except ValueError as error:
        raise UsageError(f"{where} is {text!r}, which is not a number.") from error
    if key == "tls":
        truth = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in truth:
            raise UsageError(f"{where} is {text!r}; it can be true or false.")
        return truth[text.lower()]
    return text


def _typed(key: str, value: Any, where: str) -> Any:
    """Return `value` if it has the type of field `key`."""
    kinds: dict[str, tuple[type, ...]] = {"port": (int,), "timeout": (int, float), "tls": (bool,)}
    kind = kinds.get(key, (str,))
    if not isinstance(value, kind) or (isinstance(value, bool) and key != "tls"):
        raise UsageError(f"{where} is {value!r}, which is of the wrong type.")
    return value

"""Finds out where the broker is and which board is meant: the connection settings of the tool.

Resolved once, from the command line's options, then `MQBOARD_*` environment variables, then
`mqboard.toml`, then defaults; checked and frozen. Secrets have no options on purpose: a command
line is visible to every user of the machine.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.link import schema
from mqhost.link.settingsfile import (
    AUTH_KEY,
    BROKER_KEYS,
    FILE,
    SECRETS,
    Files,
    Values,
    Warn,
    password,
)
from mqwire import WireError, names, rules
from mqwire import config as limits

# Of the environment and of mqboard.toml, besides those of the broker.
_OTHER_KEYS = ("prefix", "id", "timeout", "broker", "to", "group", "database")
_WHO = ("prefix", "to", "group")
# Whether it is TLS, and the usual port of WebSockets.
_SCHEMES: dict[str, tuple[bool | None, int]] = {
    "": (None, 0),
    "mqtt": (False, 0),
    "mqtts": (True, 0),
    "ws": (False, 80),
    "wss": (True, 443),
}
_PATH = re.compile(r"[!-~]*")
_WEBSOCKET_PATH = "/mqtt"  # what brokers are set up for where nobody says anything
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:@\[\]?#\s]+))(?::([0-9]{1,5}))?")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """The broker's address and credentials, the board's prefix, and how long to wait for it.

    `tls` None means: TLS with verification, except to this very machine. `port` 0 means the usual
    one. `path` is that of a WebSocket; without one the broker speaks MQTT itself. `ca` is a PEM
    file that replaces the system's certificates; `cert` and `key` are the client's. `id` is how the
    board's hardware id begins, where several boards have the prefix. `many`: instead of one prefix,
    the prefixes and patterns of many boards. `timeout` is in seconds: how long a silent board is
    waited for. `patient`: somebody has said so, and one that is offline is waited for, too. `wait`:
    one that is asleep is waited for until it wakes.
    `chosen`: somebody has said which broker. `auth_keys` are those of boards that take commands
    with their key only; which one is a board's it says itself. `names` are those that mqboard.toml
    has for boards: what is taken for a prefix may have been meant as one. `brokers` are those that
    it has for brokers. `database`: where rollouts are kept, "" for the user's own file.
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
    path: str = ""
    many: tuple[str, ...] = ()
    patient: bool = field(default=True, compare=False)
    wait: bool = field(default=False, compare=False)
    chosen: bool = field(default=True, compare=False)
    auth_keys: tuple[str, ...] = field(default=(), repr=False)
    names: tuple[str, ...] = field(default=(), compare=False)
    brokers: tuple[str, ...] = field(default=(), compare=False)
    database: str = field(default="", repr=False, compare=False)

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
        if self.id and self.many:
            raise UsageError("An id is that of one board, and there may be many: give its prefix.")
        if self.password and not self.username:
            raise UsageError(
                "A password without a username: MQTT has no such thing. Give it: --username."
            )
        if self.prefix:
            check_prefix(self.prefix)
        object.__setattr__(self, "id", self.id.lower())
        if self.id and not (self.id.isascii() and self.id.isalnum()):
            raise UsageError(f"{self.id!r:.40} is no hardware id: digits and letters, as in info.")
        for name in ("server", "username", "password"):
            as_utf8(getattr(self, name), name)
        for key in self.auth_keys:
            as_utf8(key, AUTH_KEY)
        for name in ("username", "password"):
            try:
                rules.check_credential(getattr(self, name))
            except WireError as error:
                raise UsageError(f"The {name} is too long: {error}.") from error

    @property
    def where(self) -> str:
        """The broker, for sentences."""
        host = f"[{self.server}]" if ":" in self.server else self.server
        if self.path:
            return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}{self.path}"
        return f"{host}:{self.port}" + (" (TLS)" if self.tls else "")

    def need_prefix(self) -> str:
        """Return the prefix; UsageError saying where to give one if there is none, or are many."""
        if self.many:
            raise UsageError(
                f"{', '.join(self.many)} can be many boards, and this command is for one at a "
                "time: name it with --prefix, or --to. On many works what only looks, and eval, "
                "exec and run; mqboard fleet changes many."
            )
        if not self.prefix:
            raise UsageError(
                "Which board? Give its topic prefix: --prefix esp32/test, MQBOARD_PREFIX, or "
                f'prefix = "esp32/test" in {FILE}. mqboard boards lists those that there are.'
            )
        return self.prefix

    def for_one(self, prefix: str) -> "Settings":
        """Return the same for the board at `prefix`."""
        return replace(self, prefix=prefix, id="", many=())

    def for_many(self, many: tuple[str, ...]) -> "Settings":
        """Return the same for the boards at the prefixes and patterns `many`."""
        return replace(self, prefix="", many=many)

    @classmethod
    def resolve(
        cls,
        options: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        warn: Warn = lambda line: None,
        asking: bool = True,
    ) -> "Settings":
        """Gather settings from all sources; the first that has a value wins (None is no value).

        `warn` gets a sentence for each file with a secret that others can read, and for what is
        not read since it is another user's. Without `asking` a password that a command would tell
        is left out.
        """
        environment = os.environ if environment is None else environment
        files = Files(folder or Path.cwd())
        for note in files.notes:
            warn(note)
        given = {key: value for key, value in (options or {}).items() if value is not None}
        found = _Found(files, environment, asking)
        found.take(given, "the options", False)
        found.take(_from_environment(environment), "MQBOARD_… variables", False)
        for file in files.all:
            found.take(file.values, str(file.path), True)
        found.values.pop(AUTH_KEY, None)  # whatever is known counts, not only that of one board
        keys = [environment.get("MQBOARD_AUTH_KEY", ""), *files.auth_keys()]
        chosen = bool({"server", "port"} & set(found.values))
        found.values["patient"] = "timeout" in found.values
        found.values["auth_keys"] = tuple(dict.fromkeys(filter(None, keys)))
        boards, brokers = (tuple(files.names(table)) for table in ("boards", "brokers"))
        return cls(**found.values, chosen=chosen, names=boards, brokers=brokers)


class _Found:
    """Puts the settings together, from the source that counts most to the one that counts least."""

    def __init__(self, files: Files, environment: Mapping[str, str], asking: bool) -> None:
        self.values: Values = {}
        self._files = files
        self._environment = environment
        self._asking = asking
        self._whose = False  # it is clear which boards are meant
        self._complete = False  # it is clear which broker is, with all that belongs to it

    def take(self, source: Mapping[str, Any], where: str, whole: bool) -> None:
        """Take what `source` has and nobody said before. `whole`: what it says of a broker belongs
        together, and is not to be mixed with what others say.
        """
        broker = source.get("broker")
        if not self._whose:
            board = self._who(source, where)
            broker = broker or board.pop("broker", None)
            self._add(board)
        self._add({key: source[key] for key in ("timeout", "wait", "database") if key in source})
        if self._complete:
            if "password" in source and not whole and "username" in self.values:
                self._add({"password": source["password"]})  # of a broker that has none with it
            return
        said = {key: source[key] for key in (*BROKER_KEYS, *SECRETS) if key in source}
        self._broker(said, where)
        if broker:
            self._broker(self._files.broker(broker), f"[brokers.{broker}]")
        self._complete = bool(broker) or (whole and bool(said))

    def _who(self, source: Mapping[str, Any], where: str) -> Values:
        """Return what `source` says about which board is meant, and of its broker."""
        said = [key for key in _WHO if source.get(key)]
        if len(said) > 1:
            raise UsageError(f"Which board? There is {' and '.join(said)} in {where}: give one.")
        self._whose = bool(said)
        values = {key: source[key] for key in ("prefix", "id") if key in source}
        if "to" in said:
            values = self._files.board(source["to"]) | values
        if "group" in said:
            many, broker = self._files.group(source["group"])
            return broker | {"many": many}
        if {"+", "#"} & set(values.get("prefix", "").split("/")):
            values["many"] = (values.pop("prefix"),)
        return values

    def _broker(self, said: Values, where: str) -> None:
        """Add what is `said` of a broker; its password is only fetched if it is needed."""
        secret = {key: said.pop(key) for key in SECRETS if key in said}
        if "username" in said and self.values.get("username", said["username"]) != said["username"]:
            secret = {}  # another user's
        if not self._asking:
            secret.pop("password_command", None)
        if "server" in self.values:
            said.pop("server", None)  # with the scheme and the port in it
        self._add(_taken_apart(said, where))
        if secret and "password" not in self.values:
            self._add({"password": password(secret, self._environment, where)})

    def _add(self, values: Values) -> None:
        self.values = values | self.values


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


def _taken_apart(said: Values, where: str) -> Values:
    """Return `said` of a broker with its server taken apart: mqtts://host:port/path, or host:port.

    UsageError for one that is none, or that says otherwise than `said` does.
    """
    server = said.get("server")
    if not server:
        return said
    scheme, _, rest = server.rpartition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        known = ", ".join(filter(None, _SCHEMES))
        raise UsageError(f"A broker is not reached by {scheme}, but by one of {known}.")
    tls, usual = _SCHEMES[scheme]
    if scheme and said.get("tls", tls) != tls:
        kind = "with" if tls else "without"
        raise UsageError(f"{scheme}:// is {kind} TLS, and {where} say otherwise as well.")
    address, _, path = rest.partition("/") if scheme else (server, "", "")
    if "@" in address:
        raise UsageError("A server's address has no user in it: --username is the place for that.")
    host = _ADDRESS.fullmatch(address)
    if not host or not _PATH.fullmatch(path):
        if not scheme and address.count(":") == 1:
            raise UsageError(f"{server} is no broker's address; write it like HOST:8883.")
        if not scheme:
            return said | {"path": ""}  # perhaps a name all the same: an IPv6 address is one
        raise UsageError(f"{server} is no broker's address; write it like wss://host:443/mqtt.")
    if path and not usual:
        raise UsageError(f"{server}: only ws:// and wss:// have a path.")
    found: Values = {"path": f"/{path}" if path else _WEBSOCKET_PATH if usual else ""}
    if scheme:
        found |= {"tls": tls, "port": usual}
    if host[3]:
        found["port"] = int(host[3])
    return found | said | {"server": host[1] or host[2]}


def _from_environment(environment: Mapping[str, str]) -> Values:
    """Return what MQBOARD_SERVER, MQBOARD_PORT, … say; empty variables count as not set."""
    values = {}
    for key in (*BROKER_KEYS, *_OTHER_KEYS):
        name = "MQBOARD_" + key.upper()
        if environment.get(name):
            values[key] = _parsed(key, environment[name], name)
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
    if key in ("tls", "wait"):
        truth = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in truth:
            raise UsageError(f"{where} is {text!r}; it can be true or false.")
        return truth[text.lower()]
    return text

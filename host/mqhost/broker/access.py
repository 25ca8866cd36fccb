"""Reads the file that says who may do what at the broker: TOML in, a checked `Access` out.

    [broker]                 where it is, how it listens
    [[boards]]               a prefix, and how the board shows who it is
    [[operators]]            roles, the prefixes they are for, and how that person shows who it is

Nothing is taken that could mean something else than it says: an unknown key, two boards that share
topics, a name that two users have. Raises UsageError: which file, which entry, what to do.
"""

import difflib
import ipaddress
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from mqhost.errors import UsageError
from mqhost.link import boardconfig
from mqhost.link.roster import prefix_filters
from mqwire import MAX_TOPIC, WireError, names

CERTIFICATE, PASSWORD, PSK = "certificate", "password", "psk"
LOGINS = (CERTIFICATE, PASSWORD, PSK)
LOGS, UPDATE, REPL = "logs", "update", "repl"
ROLES = (LOGS, UPDATE, REPL)
SERVER = "server"  # what a renewal of the broker's own certificate is called: no user's name

MAX_NAME = 64  # bytes: X.509 takes no longer common name (RFC 5280, appendix A)
_RESERVED = (SERVER, "ca")
_OWN_LEVEL = "mqb"
_HOST = re.compile(r"[A-Za-z0-9_*]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_KINDS = {int: "a whole number", str: "a text", bool: "true or false"}
_TABLES = ("broker", "boards", "operators")

Known = TypeVar("Known")


@dataclass(frozen=True)
class Site:
    """The broker. `host` is how boards and operators reach it, `names` are more names and addresses
    for its certificate. `port` is for those with a certificate, `password_port` for those with a
    password, `websocket_port` too, if it is not 0, `psk_port` for boards with a pre-shared key.
    `bind`: the only address to listen at.

    `folder` is where the files lie on the broker's machine, "": where they are made; `data` is its
    database's. `server_cert`, `server_key` are paths there of a certificate from elsewhere, and
    `server_ca` is the path here of the CA that signed it. `server_days`: how long ours is valid.
    `board_config` is a JSON file with what all boards' configurations share. `broadcast`: topics
    that all boards may hear, and that operators who may update may write. `extra` are more lines
    for mosquitto.conf.
    """

    host: str = ""
    names: tuple[str, ...] = ()
    port: int = 8883
    password_port: int = 8884
    psk_port: int = 8885
    websocket_port: int = 0
    bind: str = ""
    folder: str = ""
    data: str = "/var/lib/mosquitto"
    server_cert: str = ""
    server_key: str = ""
    server_ca: str = ""
    server_days: int = 1825
    board_config: str = ""
    broadcast: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names and addresses that the broker's certificate is for, the first one first."""
        return tuple(dict.fromkeys((self.host, *self.names)))


@dataclass(frozen=True)
class User:
    """Somebody who logs in as `name`, by `login`, one of LOGINS. A certificate is valid for `days`,
    0: as long as its CA. `read` and `write` are topics beyond the usual ones.
    """

    name: str
    login: str = CERTIFICATE
    days: int = 0
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board(User):
    """A board with its `prefix`, and with those of `also` while it moves from one to another.
    `auth`: it takes only commands that are made with a key (docs/security.md)."""

    prefix: str = ""
    also: tuple[str, ...] = ()
    auth: bool = False

    @property
    def prefixes(self) -> tuple[str, ...]:
        """All prefixes it may have."""
        return (self.prefix, *self.also)


@dataclass(frozen=True)
class Operator(User):
    """A person or a program with `roles`, of ROLES, for the boards whose prefix matches one of the
    patterns `prefixes`."""

    roles: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ("#",)


@dataclass(frozen=True)
class Access:
    """All of it. `common` is what boards' configurations share, {} if nothing."""

    site: Site
    boards: tuple[Board, ...] = ()
    operators: tuple[Operator, ...] = ()
    common: Mapping[str, Any] = field(default_factory=dict)

    @property
    def users(self) -> tuple[User, ...]:
        """All who log in."""
        return (*self.boards, *self.operators)

    @classmethod
    def load(cls, path: Path, hosts: Iterable[str] = ()) -> "Access":
        """Read the file; `hosts` go before those that it names."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8: {error}.") from error
        return cls.parse(text, str(path), tuple(hosts), path.parent)

    @classmethod
    def parse(
        cls, text: str, where: str, hosts: tuple[str, ...] = (), folder: Path | None = None
    ) -> "Access":
        """Make it from the text of the file `where`, which lies in `folder`."""
        try:
            record = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{where} is not TOML: {error}.") from error
        _known(record, _TABLES, where)
        folder = folder or Path()
        site = _site(record.get("broker", {}), f"{where}: [broker]", hosts)
        if site.server_ca:
            site = replace(site, server_ca=str(folder / site.server_ca))
        access = cls(
            site,
            tuple(_entries(Board, record, "boards", where)),
            tuple(_entries(Operator, record, "operators", where)),
            _common(site, folder),
        )
        _check_users(access, where)
        _check_prefixes(access.boards, where)
        return access


def _site(record: Any, where: str, hosts: tuple[str, ...]) -> Site:
    if isinstance(record, dict) and hosts:
        named = [record["host"]] if "host" in record else []
        record = record | {"host": hosts[0]}
        record["names"] = [*hosts[1:], *named, *record.get("names", [])]
    site = _typed(Site, record, where)
    if not site.host:
        raise UsageError(f"{where}: host is missing: how do boards reach the broker? Or --host.")
    for name in site.all_names:
        if not _is_address(name) and not (_HOST.fullmatch(name) and len(name) < 254):
            raise UsageError(f"{where}: {name!r} is neither a host's name nor an address.")
    if "*" in site.host:
        raise UsageError(f"{where}: host is {site.host}: boards need the name that it has itself.")
    if boardconfig.is_loopback(site.host) and not site.bind:
        raise UsageError(
            f"{where}: host is {site.host}: for a board that is the board itself. Give the name or "
            "address that the broker has in the boards' network; for a trial on this machine alone "
            f'also bind = "{site.host}".'
        )
    ports = [site.port, site.password_port, site.psk_port, *filter(None, [site.websocket_port])]
    if len(set(ports)) != len(ports) or not all(0 < port < 65536 for port in ports):
        raise UsageError(f"{where}: ports must be from 1 to 65535, and each another one: {ports}.")
    if bool(site.server_cert) != bool(site.server_key) or site.server_ca and not site.server_cert:
        raise UsageError(f"{where}: a certificate from elsewhere needs server_cert and server_key.")
    if site.server_cert and not site.server_ca:
        raise UsageError(
            f"{where}: server_ca is missing: boards must know which CA signed server_cert."
        )
    if not 1 <= site.server_days <= 7300:
        raise UsageError(f"{where}: server_days is {site.server_days}; 1 to 7300 are possible.")
    for key in ("folder", "data", "server_cert", "server_key"):
        value = getattr(site, key)
        if value and not value.startswith("/"):
            raise UsageError(f"{where}: {key} is {value!r}; it must be a path from / on.")
    for line in (site.bind, site.folder, site.data, site.server_cert, site.server_key, *site.extra):
        if not (line.isprintable() and line == line.strip()):
            raise UsageError(f"{where}: {line!r} cannot stand in a line of mosquitto.conf.")
    _check_topics(site.broadcast, f"{where}: broadcast")
    return site


def _entries(kind: type[Known], record: Mapping[str, Any], key: str, where: str) -> list[Known]:
    found = record.get(key, [])
    if not isinstance(found, list):
        raise UsageError(f"{where}: {key} must be a list: write each as [[{key}]].")
    return [_entry(kind, entry, f"{where}: {key}[{n}]") for n, entry in enumerate(found, 1)]


def _entry(kind: type[Known], record: Any, where: str) -> Known:
    """Make a Board or an Operator of one entry."""
    if isinstance(record, dict):
        who = record.get("name", record.get("prefix"))
        where += f" ({who!r:.60})" if who is not None else ""
        if kind is Board and isinstance(prefix := record.get("prefix"), str):
            record = {"name": _name_of(prefix)} | record
    entry: Any = _typed(kind, record, where)
    if kind is Board and not entry.prefix:
        raise UsageError(f"{where}: prefix is missing.")
    _check_name(entry.name, where)
    if entry.login not in LOGINS:
        raise UsageError(f"{where}: login is {entry.login!r}; it can be {', '.join(LOGINS)}.")
    if not 0 <= entry.days <= 7300:
        raise UsageError(f"{where}: days is {entry.days}; 0 (always) to 7300 are possible.")
    _check_topics((*entry.read, *entry.write), where)
    if isinstance(entry, Operator):
        if entry.login == PSK:
            raise UsageError(
                f"{where}: login is {PSK!r}, which is for boards: mqboard itself logs in with "
                f"{CERTIFICATE} or {PASSWORD}, because TLS of Python before 3.13 has no such keys."
            )
        if not entry.roles and not entry.read and not entry.write:
            raise UsageError(f"{where}: roles are missing: {', '.join(ROLES)}.")
        for role in entry.roles:
            if role not in ROLES:
                raise UsageError(f"{where}: role {role!r} is none of {', '.join(ROLES)}.")
        for pattern in entry.prefixes:
            try:
                prefix_filters(pattern)
            except UsageError as error:
                raise UsageError(f"{where}: prefixes: {error}") from error
    return entry  # type: ignore[no-any-return]


def _check_users(access: Access, where: str) -> None:
    """Raise UsageError if two users have one name, or one that is taken."""
    seen: dict[str, str] = {}
    taken = {name.casefold() for name in (*_RESERVED, *access.site.all_names)}
    for user in access.users:
        key = user.name.casefold()
        if key in taken:
            raise UsageError(f"{where}: {user.name!r} cannot be a user's name: it is the broker's.")
        if key in seen:
            raise UsageError(
                f"{where}: the name {user.name!r} is there twice ({seen[key]!r}). Give one of them "
                'another: name = "…".'
            )
        seen[key] = user.name
    site = access.site
    if site.websocket_port and not any(user.login == PASSWORD for user in access.users):
        raise UsageError(
            f"{where}: websocket_port is for users with a password, mosquitto takes no client "
            f'certificates there, and nobody has one: login = "{PASSWORD}".'
        )


def _check_prefixes(boards: Iterable[Board], where: str) -> None:
    """Raise UsageError unless no board could meet another's topics."""
    owners: dict[str, str] = {}
    for board in boards:
        for prefix in board.prefixes:
            try:
                names.check_prefix(prefix)
            except WireError as error:
                raise UsageError(f"{where}: prefix {prefix!r:.60}: {error}.") from error
            if prefix.startswith(" "):
                raise UsageError(
                    f"{where}: prefix {prefix!r} begins with a space, which mosquitto's access "
                    "rules cannot say. Give that board another first: mqboard config set prefix=…"
                )
            if _OWN_LEVEL in prefix.split("/"):
                raise UsageError(
                    f"{where}: prefix {prefix!r} has a level {_OWN_LEVEL}, as only topics have."
                )
            if prefix in owners:
                raise UsageError(
                    f"{where}: the prefix {prefix} is there twice: {owners[prefix]}, {board.name}."
                )
            owners[prefix] = board.name
    for prefix, name in owners.items():
        levels = prefix.split("/")
        for depth in range(1, len(levels)):
            above = "/".join(levels[:depth])
            if above in owners and owners[above] != name:
                raise UsageError(
                    f"{where}: the topics of {owners[above]} ({above}/…) include those of {name} "
                    f"({prefix}): it could command that board. Give one of them another prefix."
                )


def _check_topics(topics: Iterable[str], where: str) -> None:
    """Raise UsageError unless each is a topic, or a filter, that an access rule can say."""
    for topic in topics:
        levels = topic.split("/")
        try:
            names.check_text(topic, MAX_TOPIC)
        except WireError as error:
            raise UsageError(f"{where}: topic {topic!r:.60}: {error}.") from error
        wild = [level for level in levels if "+" in level or "#" in level]
        if any(len(level) > 1 for level in wild) or "#" in levels[:-1] or topic != topic.strip():
            raise UsageError(f"{where}: {topic!r:.60} is no topic, nor a filter for topics.")


def _name_of(prefix: str) -> str:
    """Return the user name of the board with `prefix` that says none."""
    spelt = unicodedata.normalize("NFC", prefix).replace("/", "-").replace(" ", "-")
    return "".join(letter for letter in spelt if letter.isalnum() or letter in "-_.").lstrip("-.")


def _check_name(name: str, where: str) -> None:
    """Raise UsageError unless `name` can be a user name, a common name, and a folder."""
    good = all(letter.isalnum() or letter in "-_.@" for letter in name)
    size = len(name.encode("utf-8", "surrogatepass"))
    if not name or not good or name[0] in "-." or size > MAX_NAME:
        raise UsageError(
            f"{where}: {name!r:.80} cannot be its user name: letters, digits and -_.@, up to "
            f'{MAX_NAME} bytes, are possible. Give one: name = "…".'
        )


def _common(site: Site, folder: Path) -> dict[str, Any]:
    """Return what all boards' configurations share."""
    if not site.board_config:
        return {}
    path = folder / site.board_config
    record = boardconfig.load(path)
    if "prefix" in record:
        raise UsageError(f"{path}: prefix is each board's own, and not for what all share.")
    if not isinstance(record.get("broker", {}), dict):
        raise UsageError(f"{path}: broker must be an object, {{…}}.")
    return record


def _typed(kind: type[Known], record: Any, where: str) -> Known:
    """Make a dataclass of a TOML table: texts, whole numbers and lists of texts."""
    if not isinstance(record, dict):
        raise UsageError(f"{where} must be a table of keys and values.")
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    _known(record, known, where)
    values: dict[str, Any] = {}
    for key, value in record.items():
        wanted: Any = known[key].type
        if wanted == tuple[str, ...]:
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        else:
            fits = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
        if not fits:
            what = _KINDS.get(wanted, 'a list of texts, ["…"]')
            raise UsageError(f"{where}: {key} is {json.dumps(value, default=str)}, not {what}.")
        values[key] = tuple(value) if isinstance(value, list) else value
    for key, item in known.items():
        if key not in values and item.default is MISSING and item.default_factory is MISSING:
            raise UsageError(f"{where}: {key} is missing.")
    return kind(**values)


def _known(record: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    keys = list(known)
    for key in record:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            meant = f" Do you mean {near[0]}?" if near else ""
            raise UsageError(f"{where}: unknown key {key}.{meant} Known: {', '.join(keys)}.")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""Checks a board's /config.json on the host, by the board's own rules, before it gets there.

`check` accepts nothing that the board would refuse (frozen/mqboard/config.py), and is stricter
where a typing mistake would pass there: unknown keys, ports, lengths, log levels. `Wish` is what
somebody asks for with options; `Wish.config` lays it over a configuration there may be already.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.link.settings import as_utf8, check_prefix
from mqwire import WireError
from mqwire import config as limits

# Where a board finds what is given to it as files.
CA_PATH = "/certs/ca.pem"
CERT_PATH = "/certs/cert.pem"
KEY_PATH = "/certs/key.pem"

_NUMBER = (int, float)

_Kind = type | tuple[type, ...]
# Table → key → type. A table within a table is named by its path.
_KEYS: dict[str, dict[str, _Kind]] = {
    "": {
        "prefix": str,
        "networks": list,
        "ethernet": dict,
        "broker": dict,
        "ntp": str,
        "update": dict,
        "watchdog": dict,
        "log": dict,
        "modules": dict,
    },
    "networks": {"ssid": str, "password": str},
    "broker": {
        "host": str,
        "port": int,
        "user": str,
        "password": str,
        "keepalive": _NUMBER,
        "tls": bool,
        "ca": str,
        "cert": str,
        "key": str,
        "verify": bool,
        "server_name": str,
    },
    "ethernet": {
        "phy_type": str,
        "phy_addr": int,
        "mdc": int,
        "mdio": int,
        "reset": int,
        "power": int,
        "cs": int,
        "int": int,
        "spi": dict,
        "ref_clk": int,
        "ref_clk_mode": str,
    },
    "update": {"health_s": _NUMBER, "confirm_s": _NUMBER, "allow_downgrade": bool},
    "watchdog": {"timeout_s": _NUMBER, "network_s": _NUMBER, "unreachable_s": _NUMBER},
    "log": {"level": str},
}
_REQUIRED = {
    "": ("prefix", "broker"),
    "networks": ("ssid",),
    "broker": ("host",),
    "ethernet": ("phy_type", "phy_addr"),
}
_RANGES = (
    ("broker", "port", limits.PORT),
    ("broker", "keepalive", limits.KEEPALIVE_S),
    ("watchdog", "timeout_s", limits.WATCHDOG_S),
)
_WORDS: dict[_Kind, str] = {
    str: "a text",
    int: "a whole number",
    _NUMBER: "a number",
    list: "a list",
    dict: "an object",
    bool: "true or false",
}


def load(path: Path) -> dict[str, Any]:
    """Read a configuration file; UsageError naming the file and the key. It may be incomplete."""
    try:
        record = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read the configuration: {error}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}.") from error
    if not isinstance(record, dict):
        raise UsageError(f"{path}: a configuration is an object, {{…}}, see docs/board.md.")
    return record


def parse(text: str) -> Any:
    """Return the value of a JSON text; ValueError also for NaN and Infinity, unknown to boards."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON number")

    return json.loads(text, parse_constant=refuse)


def check(record: Any, where: str = "the configuration") -> None:
    """Raise UsageError, naming the key, unless a board can use the configuration `record`."""
    _check_table(record, "", where)
    as_utf8(json.dumps(record, ensure_ascii=False), where)
    check_prefix(record["prefix"])
    if not record.get("networks") and record.get("ethernet") is None:
        what = "empty" if "networks" in record else "missing"
        raise UsageError(f"{where}: networks is {what}; the board needs at least one.")
    for network in record.get("networks") or []:
        _check_table(network, "networks", where)
        try:
            limits.check_network(network["ssid"], network.get("password") or "")
        except WireError as error:
            raise UsageError(f"{where}: networks: {error}.") from error
    for name in ("ethernet", "broker", "update", "watchdog", "log"):
        if record.get(name) is not None:
            _check_table(record[name], name, where)
    broker = record["broker"]
    if not broker["host"]:
        raise UsageError(f"{where}: broker.host is empty.")
    for key in ("user", "password"):
        try:
            limits.check_credential(broker.get(key) or "")
        except WireError as error:
            raise UsageError(f"{where}: broker.{key} is too long: {error}.") from error
    _check_tls(broker, where)
    for name, key, (low, high) in _RANGES:
        value = (record.get(name) or {}).get(key)
        if value is not None and not low <= value <= high:
            raise UsageError(f"{where}: {name}.{key} is {value}; it is from {low} to {high}.")
    for name, table in record.items():
        for key, value in table.items() if name in _KEYS and isinstance(table, dict) else ():
            if _KEYS[name][key] is _NUMBER and value is not None and value <= 0:
                raise UsageError(f"{where}: {name}.{key} is {value}; it must be positive.")
    _check_times(record.get("update") or {}, where)
    level = (record.get("log") or {}).get("level")
    if level is not None and level not in limits.LOG_LEVELS:
        known = ", ".join(limits.LOG_LEVELS)
        raise UsageError(f"{where}: log.level is {level!r}; known: {known}.")


@dataclass(frozen=True)
class Wish:
    """What was asked for; None stands for: not asked. `server` is HOST or HOST:PORT; `tls` is how
    the board reaches it.
    """

    ssid: str | None = None
    server: str | None = None
    prefix: str | None = None
    username: str | None = None
    tls: bool | None = None

    def config(
        self,
        base: dict[str, Any] | None = None,
        *,
        wifi_password: str | None = None,
        broker_password: str | None = None,
        ca: bool = False,
        cert: bool = False,
    ) -> dict[str, Any]:
        """Return the configuration, not checked: `base` with all replaced that was asked for.

        `ca`, `cert`: the board gets a CA, or a certificate with its key, as files.
        """
        config = json.loads(json.dumps(base or {}))
        if self.prefix is not None:
            config["prefix"] = self.prefix
        if self.ssid is not None:
            config["networks"] = [{"ssid": self.ssid, "password": wifi_password or ""}]
        broker = config.get("broker")
        broker = broker if isinstance(broker, dict) else {}
        if self.server is not None:
            broker.pop("port", None)
            broker |= split_server(self.server)
        if self.username is not None:
            broker |= {"user": self.username, "password": broker_password or ""}
        if ca or cert:
            broker.pop("tls", None)  # what else would they be for
        if self.tls is not None:
            broker["tls"] = self.tls
        if ca:
            broker["ca"] = CA_PATH
        if cert:
            broker |= {"cert": CERT_PATH, "key": KEY_PATH}
        return config | {"broker": broker} if broker else config


def is_loopback(host: str) -> bool:
    """Return whether `host` means the very machine that uses it."""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def split_server(text: str) -> dict[str, Any]:
    """Return {"host": …} or {"host": …, "port": …} of HOST, HOST:PORT, [IPv6] or [IPv6]:PORT."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port[1:] or "?" if port.startswith(":") else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        port = port or "?"
    else:
        host, port = text, ""
    if not port:
        return {"host": host}
    if not (port.isascii() and port.isdigit()):
        raise UsageError(f"{text!r} is no broker's address; write it as HOST or HOST:PORT.")
    return {"host": host, "port": int(port)}


def _check_table(table: Any, name: str, where: str) -> None:
    """Raise UsageError unless `table` has the keys of the table `name`, of their types."""
    prefix = f"{name}." if name else ""
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {name or 'it'} must be an object, {{…}}.")
    for key, value in table.items():
        kind = _KEYS[name].get(key)
        if kind is None:
            known = ", ".join(_KEYS[name])
            raise UsageError(f"{where}: unknown key {prefix}{key}. Known keys: {known}.")
        required = key in _REQUIRED.get(name, ())
        if value is None and not required:
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            # Not the value: it may be a password.
            raise UsageError(f"{where}: {prefix}{key} must be {_WORDS[kind]}.")
    for key in _REQUIRED.get(name, ()):
        if key not in table:
            raise UsageError(f"{where}: {prefix}{key} is missing.")


def _check_tls(broker: dict[str, Any], where: str) -> None:
    """Raise UsageError where a board could not verify its broker, or show its certificate."""
    tls = broker.get("tls") is not False
    if tls and broker.get("verify") is not False and not broker.get("ca"):
        raise UsageError(
            f"{where}: broker.ca is missing: the board verifies its broker with it. Give the PEM "
            'file of the CA with --ca; for a broker without TLS --no-tls, or "tls": false.'
        )
    if bool(broker.get("cert")) != bool(broker.get("key")):
        raise UsageError(f"{where}: broker.cert and broker.key need each other.")


def _check_times(update: dict[str, Any], where: str) -> None:
    """Raise UsageError where no update would ever be confirmed. A board takes twice health_s."""
    health_s, confirm_s = update.get("health_s"), update.get("confirm_s")
    health_s = limits.HEALTH_S if health_s is None else health_s
    confirm_s = limits.CONFIRM_S if confirm_s is None else confirm_s
    if confirm_s < limits.LEAST_CONFIRM * health_s:
        raise UsageError(
            f"{where}: update.confirm_s is {confirm_s:g} and update.health_s {health_s:g}: an "
            "update would be given up before it can prove itself. Let confirm_s be at least twice "
            "health_s, better much more: a network takes its time."
        )

"""Checks a board's /config.json on the host, by the board's own rules, before it gets there.

The rules are those of mqwire.rules. What a board would only complain about is refused here, but
for keys that it does not know: `unknown` tells of these. `Wish` is what somebody asks for with
options; `Wish.config` lays it over a configuration there may be already.
"""

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mqhost.errors import UsageError
from mqhost.link import schema
from mqhost.link.settings import as_utf8
from mqwire.rules import UNKNOWN, read

# Where a board finds what is given to it as files.
CA_PATH = "/certs/ca.pem"
CERT_PATH = "/certs/cert.pem"
KEY_PATH = "/certs/key.pem"
# The environment variables that may have its passwords.
WIFI_PASSWORD = "MQBOARD_WIFI_PASSWORD"
BROKER_PASSWORD = "MQBOARD_BROKER_PASSWORD"
BROKER_PSK = "MQBOARD_BROKER_PSK"

# What to do about it, where a sentence of mqwire.rules does not say it.
_HELP = {
    "broker.ca": "The board verifies its broker with it: give the PEM file of the CA with --ca; "
    'for a broker with pre-shared keys --psk, or "psk"; without TLS --no-tls, or "tls": false.',
    "update.confirm_s": "An update would be given up before it can prove itself; better much "
    "more: a network takes its time.",
}


def load(path: Path) -> dict[str, Any]:
    """Read a configuration file; UsageError naming the file and the key. It may be incomplete."""
    try:
        return load_text(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the configuration: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot read the configuration: {error}.") from error


def load_text(text: str, where: str) -> dict[str, Any]:
    """Read the text of a configuration, which came from `where`; UsageError as with `load`."""
    try:
        record = parse(text)
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}.") from error
    if not isinstance(record, dict):
        raise UsageError(f"{where}: a configuration is an object, {{…}}, see docs/board.md.")
    return record


def parse(text: str) -> Any:
    """Return the value of a JSON text; ValueError also for NaN, Infinity and numbers that are read
    as that: boards do not know them.
    """

    def finite(word: str) -> float:
        number = float(word)
        if not math.isfinite(number):
            raise ValueError(f"{word} is no number for a board")
        return number

    return json.loads(text, parse_constant=finite, parse_float=finite)


def check(
    record: Any, where: str = "the configuration", only: Collection[str] | None = None
) -> None:
    """Raise UsageError, naming each key, unless a board can use the configuration `record`. Of a
    part of one, what is wrong with `only` these keys counts, and not what is missing.
    """
    as_utf8(json.dumps(record, ensure_ascii=False), where)
    wrong = [
        (key, what)
        for severity, key, what in _read(record)
        if severity != UNKNOWN and (only is None or key in only)
    ]
    if wrong:
        told = "; ".join(f"{key} {what}" for key, what in wrong)
        helps = [_HELP[key] for key, _ in wrong if key in _HELP]
        raise UsageError(" ".join([f"{where}: {told}.", *helps]))


def unknown(record: Any) -> list[str]:
    """Return a sentence for each key that a board knows nothing of, and ignores."""
    keys = [key for severity, key, _ in _read(record) if severity == UNKNOWN]
    meant = {key: schema.nearest(key) for key in keys}
    return [
        f"{key} is not known; a board ignores it."
        + (f" Did you mean {meant[key]}?" if meant[key] else "")
        for key in keys
    ]


def _read(record: Any) -> list[tuple[int, str, str]]:
    """Return what is wrong with `record`, which stays as it is."""
    return read(json.loads(json.dumps(record)), SimpleNamespace())


@dataclass(frozen=True)
class Wish:
    """What was asked for; None stands for: not asked. `server` is HOST or HOST:PORT; `tls` is how
    the board reaches it; `psk` is its identity, if it has a key in place of certificates.
    """

    ssid: str | None = None
    server: str | None = None
    prefix: str | None = None
    username: str | None = None
    tls: bool | None = None
    psk: str | None = None

    def config(
        self,
        base: dict[str, Any] | None = None,
        *,
        wifi_password: str | None = None,
        broker_password: str | None = None,
        psk_key: str | None = None,
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
        if self.psk is not None:
            broker["psk"] = {"identity": self.psk, "key": psk_key or ""}
        if ca or cert or self.psk is not None:
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

"""Writes what each user needs: a board its part of /config.json, an operator a mqboard.toml.

What it writes for one user goes into one folder, with the CA and, if there is one, the certificate
and its key as PEM files: as `invoke provision --config` and the operator's own tool take them.
"""

import ipaddress
import json
import tomllib
from collections.abc import Mapping
from typing import Any

from mqhost.broker.access import CERTIFICATE, PASSWORD, PSK, Access, Board, Operator, Site, User
from mqhost.broker.authority import PLAIN_NAME
from mqhost.broker.rules import commanded
from mqhost.link.boardconfig import Wish

FOLDERS = BOARDS, OPERATORS = "boards", "operators"
CONFIG, TOML = "config.json", "mqboard.toml"
CA, CERT, KEY = "ca.pem", "cert.pem", "key.pem"
# Keys of broker in the configuration that all boards share, which would contradict the user's own.
_OWN = (
    "host",
    "port",
    "user",
    "password",
    "ca",
    "cert",
    "key",
    "server_name",
    "tls",
    "verify",
    "psk",
)


def folder_of(user: User) -> str:
    """Return the folder of that user's files, within the one that is made."""
    return f"{BOARDS if isinstance(user, Board) else OPERATORS}/{user.name}"


def file_of(user: User) -> str:
    """Return the path of what is written here for the user, a password included."""
    return f"{folder_of(user)}/{CONFIG if isinstance(user, Board) else TOML}"


def snippet(user: User, access: Access, password: str, keys: Mapping[str, str]) -> bytes:
    """Return the text of that file; `password` may be a pre-shared key, and is "" for who has a
    certificate; `keys` are those of boards that take no command without.
    """
    if isinstance(user, Board):
        return _json(board_config(user, access, password, keys.get(user.name, "")))
    assert isinstance(user, Operator)
    return operator_toml(user, access, password, keys).encode()


def is_secret(data: bytes) -> bool:
    """Return whether there is something in such a file that is for its user only."""
    return any(word in data for word in (b"password", b"auth", b'"psk"'))


def password_in(user: User, data: bytes) -> str:
    """Return the password that such a file has in it; "" if there is none, or it is no such."""
    try:
        if isinstance(user, Board):
            found = json.loads(data)["broker"]["password"]
        else:
            found = tomllib.loads(data.decode())["password"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def board_config(board: Board, access: Access, password: str, key: str = "") -> dict[str, Any]:
    """Return the configuration of `board`, as far as it is known here; `password` may be its
    pre-shared key; `key` is for `auth`.
    """
    site = access.site
    base = json.loads(json.dumps(dict(access.common)))
    broker = {key: value for key, value in base.get("broker", {}).items() if key not in _OWN}
    wish = Wish(
        server=f"[{site.host}]:{_port(board, site)}",
        prefix=board.prefix,
        username=board.name if board.login == PASSWORD else None,
        psk=board.name if board.login == PSK else None,
    )
    config = wish.config(
        base | {"broker": broker},
        broker_password=password,
        psk_key=password,
        ca=board.login != PSK,
        cert=board.login == CERTIFICATE,
    )
    if board.login != PSK and _is_address(site.host) and not site.server_cert:
        config["broker"]["server_name"] = PLAIN_NAME
    if key:
        config["auth"] = {"key": key}
    return {"prefix": board.prefix} | config


def operator_toml(
    operator: Operator, access: Access, password: str, keys: Mapping[str, str]
) -> str:
    """Return the text of mqboard.toml for `operator`, with the `keys` of boards to command."""
    site = access.site
    # TLS is said because mqboard would do without on the broker's own machine.
    values: dict[str, Any] = {"server": site.host, "port": _port(operator, site), "tls": True}
    values["ca"] = CA
    if operator.login == CERTIFICATE:
        values |= {"cert": CERT, "key": KEY}
    else:
        values |= {"username": operator.name, "password": password}
    roles = ", ".join(operator.roles)
    head = [
        f"# {operator.name} at {site.host}: {roles} of {' '.join(operator.prefixes)}.",
        "# For the folder that mqboard is started in, or ~/.config/mqboard; with the PEM files.",
    ]
    lines = [*head, *_toml(values)]
    for board in commanded(operator, access.boards):
        if key := keys.get(board.name):
            lines += ["", f"[boards.{json.dumps(board.name, ensure_ascii=False)}]"]
            lines += _toml({"prefix": board.prefix, "auth_key": key})
    return "\n".join(lines) + "\n"


def _toml(values: Mapping[str, Any]) -> list[str]:
    # JSON's texts and numbers are TOML's, too.
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _port(user: User, site: Site) -> int:
    ports = {CERTIFICATE: site.port, PASSWORD: site.password_port, PSK: site.psk_port}
    return ports[user.login]


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

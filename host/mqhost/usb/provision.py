"""Gives a board its configuration before its first boot: a filesystem with /config.json, over USB.

    options, board.json, passwords → configuration, checked → LittleFS image of the vfs partition
                                                            → the chip, or a file for a factory

A filesystem that has files already is not replaced without being told to.
"""

import json
import os
import secrets
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mqhost.build.board import Board
from mqhost.errors import FilesThere, UsageError
from mqhost.flash.filesystem import list_files, make_filesystem
from mqhost.flash.partition import TABLE_SIZE, Partition, PartitionTable
from mqhost.link.boardconfig import (
    BROKER_PASSWORD,
    BROKER_PSK,
    CA_PATH,
    CERT_PATH,
    KEY_PATH,
    WIFI_PASSWORD,
    Wish,
    check,
    is_loopback,
    load,
    unknown,
)
from mqhost.paths import TASK
from mqhost.progress import Progress, silent
from mqhost.usb.flashing import Firmware, check_burn, check_kind, open_target
from mqhost.usb.serial_port import SIM
from mqhost.usb.target import Piece, Target
from mqwire.config import MAX_KEPT

CONFIG_PATH = "/config.json"
# The keys of a board that gets all else over its setup network.
_FOR_SETUP = {"setup", "update"}
# Of a password that is printed on a label and typed on a phone: no letters that look alike.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS = 3
_GROUP = 4
_SHOWN = 8  # paths named in a question


@dataclass(frozen=True)
class Provision:
    """What a board is given: its checked configuration, and all files, by their paths."""

    config: dict[str, Any]
    files: dict[str, bytes]

    @classmethod
    def make(
        cls,
        wish: Wish,
        *,
        config: Path | None = None,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        setup: bool = False,
        modules: Mapping[str, Any] = MappingProxyType({}),
        secret: Callable[[str, str], str],
    ) -> "Provision":
        """Make it from a configuration file, from what was wished for, or both.

        `secret` is called with a question and the environment variable that may answer it, and
        returns a password. `ca`, `cert` and `key` are PEM files that the board gets. `setup`: it
        gets a password of its own for its setup network, and then needs nothing else. `modules`:
        those of its firmware, which start if the configuration names no others. Raises UsageError:
        what is missing or wrong, and where.
        """
        if bool(cert) != bool(key):
            raise UsageError("A client certificate needs both: --cert and --key.")
        base = load(config) if config else {}
        wifi = broker = psk = None
        if wish.ssid is not None:
            wifi = secret(f"Password of the Wi-Fi network {wish.ssid}", WIFI_PASSWORD)
        if wish.username is not None:
            broker = secret(f"Broker's password for {wish.username}", BROKER_PASSWORD)
        if wish.psk is not None:
            psk = secret(f"Pre-shared key of {wish.psk}, hexadecimal", BROKER_PSK)
        record = wish.config(
            base,
            wifi_password=wifi,
            broker_password=broker,
            psk_key=psk,
            ca=ca is not None,
            cert=cert is not None,
        )
        if setup:
            record["setup"] = {"password": make_key()} | (record.get("setup") or {})
        if setup and set(record) <= _FOR_SETUP:
            check(record, only=[f"setup.{name}" for name in ("password", "after_s", "window_s")])
        else:
            if not config:
                _need(record)
            check(record, str(config or "the configuration"))
        if modules:
            record.setdefault("modules", dict(modules))
        files = {CONFIG_PATH: json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n"}
        if ca:
            files[CA_PATH] = _certificates(ca)
        if cert and key:
            files[CERT_PATH], files[KEY_PATH] = _pair(cert, key)
        return cls(record, files)

    def image(self, table: PartitionTable) -> Piece:
        """Return the filesystem, where the vfs partition of `table` is."""
        vfs = table.find("vfs")
        return Piece(vfs.offset, make_filesystem(vfs.size, self.files), "filesystem")

    @property
    def setup_key(self) -> str:
        """The password of the setup network, "" without one."""
        return str((self.config.get("setup") or {}).get("password", ""))

    @property
    def purpose(self) -> str:
        """The prefix, or what it is for without one."""
        return str(self.config.get("prefix") or "its setup network")

    @property
    def notes(self) -> list[str]:
        """Sentences about what may not be as expected."""
        notes = unknown(self.config)
        notes += [
            f"{path} has {len(data):,} B. Boards keep a copy of up to {MAX_KEPT:,} B, for the case "
            "that they lose their files; of this one they cannot."
            for path, data in self.files.items()
            if len(data) > MAX_KEPT
        ]
        broker = self.config.get("broker") or {"tls": True}
        if broker.get("tls") is False:
            notes.append(
                "Without TLS whoever is on the way to the broker can read and change all of it."
            )
        elif broker.get("verify") is False:
            notes.append("With verify false the board takes anybody for its broker.")
        return notes


def make_key() -> str:
    """Return a new password for a setup network, of 59 random bits: as "k7mw-2xqd-p9fh"."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def provision(
    board: Board,
    what: Provision,
    port: str | None = None,
    *,
    firmware: Firmware | None = None,
    baud: int | None = None,
    force: bool = False,
    burn: bool = False,
    progress: Progress = silent,
) -> str:
    """Write `what`, together with `firmware` if given, to the chip at `port`; say what was done.

    Raises UsageError when the chip is another one or has other partitions, and FilesThere when it
    has files and not `force`.
    """
    check_kind(board, port)
    _check_encrypted(board, firmware)
    if firmware:
        check_burn(board, burn)
    if "broker" in what.config and not (port or "").startswith(SIM):
        _check_reachable(what.config)
    table = board.table
    image = what.image(table)
    target = open_target(port, baud=baud, progress=progress)
    chip = target.identify(board)
    if not (force and firmware):
        _check_replaceable(target, board, table, bool(firmware), force)
    target.write([firmware.piece, image] if firmware else [image])
    wrote = f"{board.name} {firmware.version} and " if firmware else ""
    return (
        f"{target.where}: {chip}; wrote and verified {wrote}a filesystem with "
        f"{', '.join(what.files)} for {what.purpose}."
    )


def write_file(
    board: Board, what: Provision, path: Path, *, firmware: Firmware | None = None
) -> str:
    """Write the image into file `path` instead, and say how it gets onto a chip."""
    _check_encrypted(board, firmware)
    table = board.table
    piece = what.image(table)
    if firmware:
        before = firmware.data.ljust(piece.address - firmware.offset, b"\xff")
        piece = Piece(firmware.offset, before + piece.data, "firmware and filesystem")
    _write_private(path, piece.data)
    steps = board.secure.steps(board.name) if board.secure else []
    return "".join(f"{step}\n" for step in steps) + (
        f"{path}: {piece.name}, {len(piece.data):,} B. Write it with: esptool write-flash "
        f"{piece.address:#x} {path}\nIt has the passwords in it; only you can read the file."
    )


def _check_encrypted(board: Board, firmware: Firmware | None) -> None:
    """Raise UsageError if files are to be written where all is encrypted by then."""
    if board.secure.flash_encryption and not firmware:
        raise UsageError(
            f"The flash of {board.name} is encrypted from its first boot on, and files are only "
            "written over USB before: give the firmware with them, --firmware. Later: mqboard "
            "config set, over MQTT."
        )


def _need(record: dict[str, Any]) -> None:
    """Raise UsageError naming the options that are missing where there is no file to say it."""
    wanted = {
        "--ssid": "networks" in record or "ethernet" in record,
        "--server": "host" in record.get("broker", {}),
        "--prefix": "prefix" in record,
    }
    missing = [option for option, given in wanted.items() if not given]
    if missing:
        raise UsageError(
            f"A board needs a network, a broker and a prefix; missing: {', '.join(missing)}. "
            "Or give a whole configuration: --config board.json (docs/board.md)."
        )


def _check_reachable(config: dict[str, Any]) -> None:
    """Raise UsageError if the broker's address would be the board itself."""
    host = config["broker"]["host"]
    if is_loopback(host):
        raise UsageError(
            f"The broker's address is {host}: for the board, that is the board itself. "
            "Give the address that this machine or the broker has in the board's network."
        )


def _check_replaceable(
    target: Target,
    board: Board,
    table: PartitionTable,
    with_firmware: bool,
    force: bool,
) -> None:
    """Raise UsageError if the chip's partitions are others, or its files are to stay."""
    vfs = _vfs(target, table.offset)
    if not with_firmware and vfs != table.find("vfs"):
        raise UsageError(
            f"{target.where} does not have the partitions of board {board.name}. Write the "
            f"firmware with it: --firmware, or first: {TASK} flash --board {board.name}."
        )
    if vfs is None or force:
        return
    offset = vfs.offset
    files = list_files(lambda start, size: target.read(offset + start, size), vfs.size)
    if not files:
        return
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    raise FilesThere(f"{target.where} has files already: {', '.join(files[:_SHOWN])}{more}.")


def _vfs(target: Target, offset: int) -> Partition | None:
    """Return the vfs partition that the chip has now; None without it, or a readable table."""
    try:
        table = PartitionTable.from_bytes(target.read(offset, TABLE_SIZE))
    except UsageError:
        return None
    return next((partition for partition in table.partitions if partition.label == "vfs"), None)


def _certificates(path: Path) -> bytes:
    """Return the bytes of a PEM file; UsageError unless there are certificates in it."""
    try:
        data = path.read_bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=data.decode("ascii"))
    except OSError as error:
        if isinstance(error, ssl.SSLError):
            raise UsageError(f"{path} has no certificate that can be read: {error}.") from error
        raise UsageError(f"{path}: cannot read the certificate: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is no PEM file of certificates.") from error
    return data


def _pair(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Return the bytes of two PEM files; UsageError unless a certificate and its open key."""

    def refuse() -> str:
        raise UsageError(f"{key} has a password; a board takes a key without one only.")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, refuse)
        return cert.read_bytes(), key.read_bytes()
    except OSError as error:
        if isinstance(error, ssl.SSLError):
            raise UsageError(
                f"{cert} and {key} are not a certificate and its key, both PEM: {error}."
            ) from error
        raise UsageError(f"{cert} or {key} cannot be read: {error.strerror}.") from error


def _write_private(path: Path, data: bytes) -> None:
    """Replace the file by one with `data` that only its owner can read."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            try:
                file.write(data)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error

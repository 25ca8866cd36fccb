"""Reads mqboard.toml: what holds by itself, and what has names: brokers, boards, groups of boards.

There are two of them: the project's, in the current folder or the nearest above it, and the user's
own in the XDG configuration folder. A name that the project's file has hides that of the user's.
Keys are checked when a file is read, even where nobody uses them; secrets are fetched when the
broker is used.
"""

import difflib
import os
import shlex
import stat
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.paths import SETTINGS as FILE
from mqhost.paths import config_dir, is_ours

Values = dict[str, Any]
Warn = Callable[[str], None]

BROKER_KEYS = ("server", "port", "username", "password", "tls", "ca", "cert", "key")
# The password itself, or where it is.
SECRETS = ("password", "password_env", "password_command")
AUTH_KEY = "auth_key"  # that of a board, or of all
_BROKER_KEYS = (*BROKER_KEYS, *SECRETS[1:])
_BOARD_KEYS = ("prefix", "broker", "id", AUTH_KEY)
_GROUP_KEYS = ("boards", "broker")
_PROJECT = "project"  # what that is, mqhost.project reads
_DATABASE = "database"  # of rollouts: a file, or a URL
FLAT_KEYS = (*_BROKER_KEYS, "broker", "prefix", "id", "to", "group", "timeout", _DATABASE, AUTH_KEY)
_TABLES = {"brokers": _BROKER_KEYS, "boards": _BOARD_KEYS, "groups": _GROUP_KEYS}
_PATHS = ("ca", "cert", "key")
_TYPES: dict[str, tuple[type, ...]] = {
    "port": (int,),
    "timeout": (int, float),
    "tls": (bool,),
    "boards": (list,),
}
_COMMAND_TIMEOUT = 60.0  # seconds: it may ask somebody


@dataclass(frozen=True)
class SettingsFile:
    """One mqboard.toml: `values` are its flat keys, the tables are by name.

    `own`: it is the user's, not that of a project, which may come from anywhere.
    """

    path: Path
    own: bool
    values: Values = field(default_factory=dict)
    brokers: dict[str, Values] = field(default_factory=dict)
    boards: dict[str, Values] = field(default_factory=dict)
    groups: dict[str, Values] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, own: bool = False) -> "SettingsFile":
        """Read and check `path`; UsageError naming it and the key."""
        try:
            record = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from error
        tables = {name: _tables(record, name, path, own) for name in _TABLES}
        others = (*_TABLES, *(() if own else (_PROJECT,)))
        if not own:
            check_project(record, path)
        flat = {key: value for key, value in record.items() if key not in others}
        return cls(path, own, _checked(flat, FLAT_KEYS, f"{path}:", path, own, others), **tables)

    def told(self) -> str:
        """Return the sentence for a file whose secrets others can read, "" if there is none."""
        tables = self.values, *self.brokers.values(), *self.boards.values()
        has_secret = any({"password", AUTH_KEY} & values.keys() for values in tables)
        has_secret = has_secret or "@" in self.values.get(_DATABASE, "")
        if not has_secret or not self.path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            return ""
        return (
            f"{self.path} has a secret in it, and others on this machine can read it: "
            f"chmod 600 {shlex.quote(str(self.path))}"
        )


class Files:
    """The files that hold for `folder`, the nearest first; looks up what they have names for.

    `notes`: sentences about files that somebody should do something about. A file above `folder`
    that another user has put there, as anybody can in /tmp, might send passwords astray.
    """

    def __init__(self, folder: Path) -> None:
        own = config_dir() / FILE
        here, *above = (at / FILE for at in (folder, *folder.parents))
        there = [path for path in (here, *above) if os.path.isfile(path)]
        strange = [path for path in there if path != here and not is_ours(path)]
        nearest = next((path for path in there if path not in strange), own)
        self.notes = [
            f"{path} is another user's, and not read. It counts in its own folder only."
            for path in strange
        ]
        found = [SettingsFile.read(nearest, own=nearest == own)] if os.path.isfile(nearest) else []
        if nearest != own and os.path.isfile(own):
            found.append(SettingsFile.read(own, own=True))
        self.all = tuple(found)
        self.notes += filter(None, (file.told() for file in found))
        self._folder = folder

    def auth_keys(self) -> list[str]:
        """Return the keys of boards that take commands with their key only; "" is none."""
        tables = (table for file in self.all for table in (file.values, *file.boards.values()))
        return [str(table.get(AUTH_KEY, "")) for table in tables]

    def names(self, table: str) -> list[str]:
        """Return the names that there are in `table`: brokers, boards or groups."""
        return sorted({name for file in self.all for name in getattr(file, table)})

    def broker(self, name: str) -> Values:
        """Return the keys of the broker `name`; UsageError if no file has it."""
        return self._find("brokers", name)

    def board(self, name: str) -> Values:
        """Return prefix, broker and id of the board `name`; UsageError if no file has it."""
        return self._find("boards", name)

    def group(self, name: str) -> tuple[tuple[str, ...], Values]:
        """Return the prefixes and patterns that are in the group `name`, and its broker as
        {"broker": name}, or {} if it has none. UsageError also for boards of several brokers.
        """
        entry = self._find("groups", name)
        prefixes: dict[str, None] = {}
        brokers = {entry["broker"]} if "broker" in entry else set()
        for member in entry["boards"]:
            board = self.board(member) if member in self.names("boards") else {"prefix": member}
            prefixes[board["prefix"]] = None
            if "broker" in board and "broker" not in entry:
                brokers.add(board["broker"])
        if len(brokers) > 1:
            raise UsageError(
                f"The boards of group {name} are at several brokers: {', '.join(sorted(brokers))}. "
                "A command talks to one at a time: make a group for each."
            )
        return tuple(prefixes), {"broker": brokers.pop()} if brokers else {}

    def _find(self, table: str, name: str) -> Values:
        for file in self.all:
            if name in getattr(file, table):
                return dict(getattr(file, table)[name])
        what = table.removesuffix("s")
        names = self.names(table)
        if not self.all:
            there = f"there is no {FILE} in {self._folder}, above it, or in {config_dir()}"
        elif not names:
            there = f"there is no [{table}.…] in {' or '.join(str(file.path) for file in self.all)}"
        else:
            there = f"there is {', '.join(names)}"
        raise UsageError(f"No {what} is named {name}: {there}.{_meant(name, names)}")


def password(values: Mapping[str, Any], environment: Mapping[str, str], where: str) -> str | None:
    """Return the password of a broker's `values`, from where they say; None if they have none.

    UsageError when it cannot be had; `where` names the table.
    """
    if "password_env" in values:
        name = values["password_env"]
        if not environment.get(name):
            raise UsageError(f"{where}: password_env names {name}, and that is not set.")
        return environment[name]
    if "password_command" in values:
        return _output(values["password_command"], f"{where}: password_command")
    return values.get("password")


def check_project(record: Values, path: Path) -> None:
    """Raise UsageError if what the file calls a project is no table: it would be none."""
    if not isinstance(record.get(_PROJECT, {}), dict):
        raise UsageError(
            f"{path}: {_PROJECT} is no table, so there is no project. It begins with the line "
            f"[{_PROJECT}]."
        )


def _output(command: str, where: str) -> str:
    """Return the first line that `command` prints; it may ask on the terminal."""
    try:
        process = subprocess.run(
            shlex.split(command), stdout=subprocess.PIPE, timeout=_COMMAND_TIMEOUT, check=False
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"{where} cannot be run: {error}.") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{where} took longer than {_COMMAND_TIMEOUT:.0f} s.") from error
    line = process.stdout.decode("utf-8", "surrogateescape").partition("\n")[0].rstrip("\r")
    if process.returncode or not line:
        ended = f"ended with status {process.returncode}" if process.returncode else "said nothing"
        raise UsageError(f"{where} {ended}: {command}")
    return line


def _tables(record: Values, name: str, path: Path, own: bool) -> dict[str, Values]:
    """Take the tables [name.…] of a file apart."""
    found = record.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise UsageError(f"{path}: {name} holds tables, each with a name: [{name}.NAME]")
    return {
        entry: _checked(values, _TABLES[name], f"{path}: [{name}.{entry}]", path, own)
        for entry, values in found.items()
    }


def _checked(
    values: Values,
    known: Iterable[str],
    where: str,
    path: Path,
    own: bool,
    tables: tuple[str, ...] = (),
) -> Values:
    """Return `values` if all their keys are known and of the right type; paths in full. `tables`
    can be there besides.
    """
    for key, value in values.items():
        if key not in known:
            beside = f"; tables: {', '.join(tables)}" if tables else ""
            raise UsageError(
                f"{where} unknown key {key}. Known: {', '.join(known)}{beside}."
                + _meant(key, (*known, *tables))
            )
        kinds = _TYPES.get(key, (str,))
        if not isinstance(value, kinds) or (isinstance(value, bool) and key != "tls"):
            meant = _meant(key, tables) if isinstance(value, dict) else ""
            raise UsageError(f"{where} {key} is {value!r}, which is of the wrong type.{meant}")
    if "boards" in known:
        members = values.get("boards")
        if not members or not all(isinstance(member, str) for member in members):
            raise UsageError(f'{where} boards is a list of names or prefixes, as ["pump", "a/+"].')
    if known is _BOARD_KEYS and "prefix" not in values:
        raise UsageError(f"{where} has no prefix: a board has one.")
    secrets = [key for key in SECRETS if key in values]
    if len(secrets) > 1:
        raise UsageError(f"{where} has {' and '.join(secrets)}: one of them is enough.")
    if "password_command" in values and not own:
        raise UsageError(
            f"{where} password_command runs a program, and this file may come from anywhere: "
            f"only your own may say so, {config_dir() / FILE}."
        )
    paths = {key: _full(values[key], path) for key in _PATHS if values.get(key)}
    if "://" not in values.get(_DATABASE, "://"):
        paths[_DATABASE] = _full(values[_DATABASE], path)
    return values | paths


def _full(name: str, file: Path) -> str:
    """Return the path `name` as it is meant in `file`: seen from its folder."""
    return os.path.join(file.parent, os.path.expanduser(name))


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {close[0]}?" if close else ""

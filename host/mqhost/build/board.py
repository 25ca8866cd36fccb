"""Reads a board's definition, boards/<board>/board.toml, once into a frozen dataclass.

The file says what the board is, not how it is built. A key that is unknown, missing or of the wrong
type is an error naming the file and the key, so that a typing mistake never passes silently. One
that extends another board (layers.py) says only what is different.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.build.layers import EXTENDS, FILE, file_of, layers
from mqhost.errors import UsageError
from mqhost.flash.partition import TABLE_OFFSET
from mqhost.paths import BOARDS, ROOT

PORTS = ("unix", "esp32")
SIGNING = ("required", "none")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SIZE = re.compile(r"([1-9][0-9]*) ?MiB")

_REQUIRED: dict[str, type] = {
    "port": str,
    "mcu": str,
    "chip_id": int,
    "product": str,
    "based_on": str,
    "micropython": str,
    "flash_size": str,
    "manifest": str,
    "partitions": str,
}
_OPTIONAL: dict[str, type] = {
    "fallback": str,
    "toolchain": str,
    "flash_offset": int,
    "features": list,
    "signing": str,
    "sdkconfig": list,
    EXTENDS: str,
}
_WORDS = {str: "a text", int: "a whole number", list: "a list of texts"}


@dataclass(frozen=True)
class Board:
    """A board's definition.

    `folder` holds its files and `name` is that folder's name; `bases` are those of the boards that
    it extends, the nearest first, whose files count where it has none of its own. `port`: the
    MicroPython port; `based_on`: the upstream board (on the unix port: the variant); `micropython`:
    the release it is built from; `fallback`: what it is built from where that is not at hand, if it
    may be (see source.py); `toolchain`: the image with the compiler, empty where the machine's own
    is used;
    `flash_size` in bytes; `flash_offset`: the address of flash at which flash.bin begins, which is
    where this chip expects its bootloader; `manifest` and `partitions`: files; `signing`:
    whether its firmware takes only signed updates ("required") or any ("none"); `sdkconfig`: files
    with options of ESP-IDF, besides its sdkconfig.board.
    """

    name: str
    folder: Path
    port: str
    mcu: str
    chip_id: int
    product: str
    based_on: str
    micropython: str
    flash_size: int
    manifest: Path
    partitions: Path
    fallback: str = ""
    toolchain: str = ""
    flash_offset: int = 0
    features: tuple[str, ...] = ()
    signing: str = "required"
    sdkconfig: tuple[Path, ...] = ()
    extends: str = ""
    bases: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that its files are in: of a name the first counts."""
        return (self.folder, *self.bases)

    @classmethod
    def load(cls, folder: Path) -> "Board":
        """Read `folder`/board.toml; UsageError naming the file and the key if it is wrong."""
        file = folder / FILE
        found = layers(folder)
        record: dict[str, Any] = {}
        for at, keys in reversed(found):
            _check_keys(keys, at / FILE)
            record |= keys | _paths(keys, at)
        missing = [key for key in _REQUIRED if key not in record]
        if missing:
            raise UsageError(f"{file}: missing key {', '.join(missing)}.")
        folders = tuple(at for at, _ in found)
        if record["port"] not in PORTS:
            known = ", ".join(PORTS)
            raise UsageError(f"{file}: port is {record['port']!r}; known ports: {known}.")
        if record.get("signing", SIGNING[0]) not in SIGNING:
            known = ", ".join(SIGNING)
            raise UsageError(f"{file}: signing is {record['signing']!r}; known: {known}.")
        if not 0 <= record["chip_id"] <= 0xFFFF:
            raise UsageError(f"{file}: chip_id is {record['chip_id']}; it is a number of 16 bits.")
        if not 0 <= record.get("flash_offset", 0) < TABLE_OFFSET:
            raise UsageError(
                f"{file}: flash_offset is {record['flash_offset']:#x}; the bootloader stands "
                f"before the partition table at {TABLE_OFFSET:#x}."
            )
        size = _SIZE.fullmatch(record["flash_size"])
        if not size:
            raise UsageError(f"{file}: flash_size is {record['flash_size']!r}; write it as '4MiB'.")
        return cls(
            **record
            | {
                "name": folder.name,
                "folder": folder,
                "bases": folders[1:],
                "flash_size": int(size[1]) * 1024 * 1024,
                "partitions": file_of(folders, record["partitions"]),
                "features": tuple(record.get("features", ())),
            }
        )


def _paths(keys: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the paths of the files that a board.toml in `folder` names for those who extend it."""
    paths: dict[str, Any] = {}
    if "manifest" in keys:
        own = folder / keys["manifest"]
        paths["manifest"] = own if own.is_file() else ROOT / keys["manifest"]
    if "sdkconfig" in keys:
        paths["sdkconfig"] = tuple(folder / name for name in keys["sdkconfig"])
    return paths


def boards(folder: Path = BOARDS) -> list[Board]:
    """Return all boards under `folder`, by name."""
    return [Board.load(file.parent) for file in sorted(folder.glob("*/board.toml"))]


def find(name: str, folder: Path = BOARDS) -> Board:
    """Return the board of that name; UsageError naming the known ones if there is none."""
    if _NAME.fullmatch(name) and (folder / name / "board.toml").is_file():
        return Board.load(folder / name)
    known = ", ".join(file.parent.name for file in sorted(folder.glob("*/board.toml")))
    raise UsageError(f"There is no board {name!r}. Known boards: {known or 'none'}.")


def _check_keys(record: dict[str, Any], file: Path) -> None:
    """Raise UsageError unless `record` has only keys of a board, with values of their types."""
    known = _REQUIRED | _OPTIONAL
    unknown = sorted(record.keys() - known.keys())
    if unknown:
        raise UsageError(
            f"{file}: unknown key {', '.join(unknown)}. Known keys: {', '.join(known)}."
        )
    for key, value in record.items():
        right = type(value) is known[key]  # isinstance would take true for a number
        if known[key] is list:
            right = right and all(isinstance(item, str) for item in value)
        if not right:
            raise UsageError(f"{file}: {key} is {value!r}; it must be {_WORDS[known[key]]}.")

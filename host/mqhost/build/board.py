"""Reads a board's definition, boards/<board>/board.toml, once into a frozen dataclass.

The file says what the board is, not how it is built. A key that is unknown, missing or of the wrong
type is an error naming the file and the key, so that a typing mistake never passes silently. One
that extends another board (layers.py) says only what is different.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mqhost.build.layers import EXTENDS, FILE, file_of, layers
from mqhost.build.secure import Secure
from mqhost.errors import UsageError
from mqhost.flash.chips import CHIPS
from mqhost.flash.layout import KIB, MIB, layout_csv, table_offset
from mqhost.flash.partition import TABLE_OFFSET, PartitionTable, read_csv
from mqhost.paths import BOARDS, PROJECT, ROOT

PORTS = ("unix", "esp32")
SIGNING = ("required", "none")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SIZE = re.compile(r"([1-9][0-9]*) ?(KiB|MiB)")
_UNITS = {"KiB": KIB, "MiB": MIB}
# As "esp32s3-16mib": a board, with a flash of another size.
_VARIANT = re.compile(r"(.+)-([1-9][0-9]*)mib")

_REQUIRED: dict[str, type] = {
    "port": str,
    "mcu": str,
    "chip_id": int,
    "product": str,
    "based_on": str,
    "micropython": str,
    "flash_size": str,
    "manifest": str,
}
_OPTIONAL: dict[str, type] = {
    "fallback": str,
    "partitions": str,
    "slot_size": str,
    "filesystem_size": str,
    "spiram": str,
    "secure": dict,
    "toolchain": str,
    "flash_offset": int,
    "features": list,
    "signing": str,
    "sdkconfig": list,
    EXTENDS: str,
}
_LAYOUT = ("partitions", "slot_size", "filesystem_size")
_WORDS = {str: "a text", int: "a whole number", list: "a list of texts", dict: "a table"}


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
    where this chip expects its bootloader; `manifest`: a file; `partitions`: a file with the layout
    of its flash, None where that is computed, of the sizes `slot_size` and `filesystem_size` in
    bytes if they are not 0; `spiram`: the kind of PSRAM, "" without; `secure`: secure boot and
    flash encryption, which the chip does; `signing`: whether its
    firmware takes only signed updates ("required") or any ("none"); `sdkconfig`: files with options
    of ESP-IDF, besides its sdkconfig.board.
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
    partitions: Path | None = None
    slot_size: int = 0
    filesystem_size: int = 0
    spiram: str = ""
    secure: Secure = Secure()
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
            if {"mcu"} <= keys.keys() & record.keys() and keys["mcu"] != record["mcu"]:
                raise UsageError(
                    f"{at / FILE}: mcu is {keys['mcu']!r}, and that of the board that it extends, "
                    f"{keys[EXTENDS]}, is {record['mcu']!r}. Leave mcu out, or extend a board with "
                    "that chip."
                )
            if keys.keys() & {"flash_size", *_LAYOUT}:  # sizes are for the flash they were said of
                record = {key: value for key, value in record.items() if key not in _LAYOUT}
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
        sizes: dict[str, Any] = {
            key: _size(record[key], key, file)
            for key in ("flash_size", "slot_size", "filesystem_size")
            if key in record
        }
        if sizes["flash_size"] % MIB:
            raise UsageError(f"{file}: flash_size is {record['flash_size']!r}; write it as '4MiB'.")
        own = file_of(folders, record["partitions"]) if "partitions" in record else None
        if own and len(sizes) > 1:
            raise UsageError(
                f"{file}: slot_size and filesystem_size are for a layout that is computed; with "
                f"partitions it is what {own} says. Leave out one or the other."
            )
        _check_spiram(record, file)
        secure = Secure.read(record.get("secure", {}), record["mcu"], record["port"], file)
        return cls(
            **record
            | sizes
            | {
                "name": folder.name,
                "folder": folder,
                "bases": folders[1:],
                "partitions": own,
                "secure": secure,
                "features": tuple(record.get("features", ())),
            }
        )

    @property
    def layout_file(self) -> Path:
        """The file that says how the flash is laid out, for people."""
        return self.partitions or self.folder / "board.toml"

    @cached_property
    def layout_csv(self) -> str:
        """The layout of the flash, as ESP-IDF reads it; UsageError if it cannot be."""
        if self.partitions:
            return read_csv(self.partitions)
        try:
            return layout_csv(
                self.flash_size,
                slot_size=self.slot_size,
                filesystem_size=self.filesystem_size,
                secured=bool(self.secure),
                encrypted=bool(self.secure.flash_encryption),
            )
        except UsageError as error:
            raise UsageError(f"{self.layout_file}: {error}") from error

    @cached_property
    def table(self) -> PartitionTable:
        """The partition table, checked; UsageError if it cannot be."""
        offset = table_offset(bool(self.secure))
        return PartitionTable.parse(self.layout_csv, self.flash_size, str(self.layout_file), offset)

    def with_flash(self, flash_size: int) -> "Board":
        """Return this board with a flash of `flash_size` bytes, under a name of its own: boards
        with another layout must not take its images. UsageError if the layout is not computed.
        """
        if flash_size == self.flash_size:
            return self
        if self.partitions:
            raise UsageError(
                f"{self.partitions} is the layout for {self.flash_size // MIB} MiB of flash, and "
                f"none can be computed for another size: leave partitions out of {self.name}'s "
                "board.toml, or make a board with a table of its own."
            )
        name = f"{self.name}-{flash_size // MIB}mib"
        board = replace(self, name=name, flash_size=flash_size, slot_size=0, filesystem_size=0)
        _ = board.table  # that there is one
        return board


def _paths(keys: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the paths of the files that a board.toml in `folder` names for those who extend it."""
    paths: dict[str, Any] = {}
    if "manifest" in keys:
        own = folder / keys["manifest"]
        paths["manifest"] = own if own.is_file() else ROOT / keys["manifest"]
    if "sdkconfig" in keys:
        paths["sdkconfig"] = tuple(folder / name for name in keys["sdkconfig"])
    return paths


def boards(*folders: Path) -> list[Board]:
    """Return all boards under `folders`, by name: by default the project's own, then ours."""
    return [Board.load(folder) for folder in _all(folders or _board_folders())]


def find(name: str, *folders: Path) -> Board:
    """Return the board of that name, or with a flash of another size as "esp32s3-16mib", of those
    under `folders`, by default the project's and ours; UsageError naming the known ones if there is
    none."""
    found = {folder.name: folder for folder in _all(folders or _board_folders())}
    if name in found and _NAME.fullmatch(name):
        return Board.load(found[name])
    variant = _VARIANT.fullmatch(name)
    if variant and variant[1] in found and _NAME.fullmatch(variant[1]):
        return Board.load(found[variant[1]]).with_flash(int(variant[2]) * MIB)
    raise UsageError(f"There is no board {name!r}. Known boards: {', '.join(found) or 'none'}.")


def _board_folders() -> tuple[Path, ...]:
    return (PROJECT / "boards", BOARDS) if PROJECT else (BOARDS,)


def _all(folders: Iterable[Path]) -> list[Path]:
    """Return the folders of all boards in `folders`; UsageError if two have one name."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/board.toml")):
            if file.parent.name in found:
                raise UsageError(
                    f"{found[file.parent.name]} has the name of a board of MQBoard's, and the "
                    "firmware of one would be taken for that of the other. Rename the folder."
                )
            found[file.parent.name] = file.parent
    return list(found.values())


def parse_flash_size(text: str) -> int:
    """Return the bytes of a flash size as "16MiB"; UsageError if it is none."""
    size = _size(text, "the flash size")
    if size % MIB:
        raise UsageError(f"the flash size is {text!r}; write it as '16MiB'.")
    return size


def _size(text: str, key: str, file: Path | None = None) -> int:
    """Return the bytes that a size as "4MiB" or "960KiB" stands for."""
    size = _SIZE.fullmatch(text)
    if not size:
        where = f"{file}: " if file else ""
        raise UsageError(f"{where}{key} is {text!r}; write it as '4MiB'.")
    return int(size[1]) * _UNITS[size[2]]


def _check_spiram(record: dict[str, Any], file: Path) -> None:
    """Raise UsageError unless MicroPython supports the board's PSRAM on its chip."""
    spiram = record.get("spiram", "")
    chip = CHIPS.get(record["mcu"])
    known = chip.spiram if chip and record["port"] == "esp32" else {}
    if spiram and spiram not in known:
        kinds = ", ".join(known) or "none"
        raise UsageError(
            f"{file}: spiram is {spiram!r}; MicroPython knows of {record['mcu']}: {kinds}."
        )


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

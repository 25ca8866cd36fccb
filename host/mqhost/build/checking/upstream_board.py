"""Reads what MicroPython's own sources say of an ESP32 board: chip, option files, C options.

`UpstreamBoard.read` takes a checkout and a name as "ESP32_GENERIC_S3-SPIRAM_OCT", a board and its
variant. Ours are made of the same kinds of files, which `fragments` and `defines` read, too.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError

_PORT = Path("ports", "esp32")
_FRAGMENT = re.compile(r"^\s+(boards/\S+)$", re.MULTILINE)
_TARGET = re.compile(r"set\(IDF_TARGET (\w+)\)")
_DEFINE = re.compile(r"^#define (MICROPY_(?:HW|PY)_\w+)\s+(.+?)\s*$", re.MULTILINE)
_OPTION = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)
_IDF = re.compile(r"^  idf:\n(?:    .*\n)*?    version: (\S+)$", re.MULTILINE)
_DEFAULT_TARGET = "esp32"  # what ESP-IDF builds for where a board says nothing


@dataclass(frozen=True)
class UpstreamBoard:
    """What a board of MicroPython's own is.

    `fragments` are its sdkconfig files, as paths below ports/esp32; `defines` the options of its C
    header; `record` its board.json.
    """

    name: str
    target: str
    fragments: tuple[str, ...]
    defines: Mapping[str, str]
    record: Mapping[str, Any]

    @classmethod
    def read(cls, checkout: Path, name: str) -> "UpstreamBoard":
        """Read the board, or board-variant, `name`; UsageError naming the file that is missing."""
        board, _, variant = name.partition("-")
        folder = checkout / _PORT / "boards" / board
        cmake = read_text(folder / "mpconfigboard.cmake")
        target = _TARGET.search(cmake)
        named = fragments(cmake)
        if variant:
            named += fragments(read_text(folder / f"mpconfigvariant_{variant}.cmake"))
        record = read_record(folder / "board.json")
        header = defines(read_text(folder / "mpconfigboard.h"))
        return cls(name, target[1] if target else _DEFAULT_TARGET, named, header, record)

    @property
    def flash_offset(self) -> int:
        """Where its firmware is flashed to."""
        return int(self.record["deploy_options"]["flash_offset"], 0)


def idf_version(checkout: Path, target: str) -> str:
    """Return the ESP-IDF that the release was made with for a chip; UsageError if for none."""
    path = checkout / _PORT / "lockfiles" / f"dependencies.lock.{target}"
    found = _IDF.search(read_text(path))
    if not found:
        raise UsageError(f"{path} names no version of ESP-IDF.")
    return found[1]


def features(checkout: Path) -> set[str]:
    """Return the words that MicroPython's board.json files have for features."""
    found: set[str] = set()
    for path in sorted((checkout / _PORT / "boards").glob("*/board.json")):
        found.update(json.loads(path.read_text()).get("features", ()))
    return found


def missing_fragments(checkout: Path, names: tuple[str, ...]) -> list[str]:
    """Return those of the sdkconfig files `names` that are not there."""
    return [name for name in names if not (checkout / _PORT / name).is_file()]


def options_of(checkout: Path, name: str) -> dict[str, str]:
    """Return the options that MicroPython's sdkconfig file `name` sets."""
    return options(read_text(checkout / _PORT / name))


def fragments(cmake: str) -> tuple[str, ...]:
    """Return MicroPython's sdkconfig files that a board's CMake text names."""
    return tuple(_FRAGMENT.findall(cmake))


def defines(header: str) -> dict[str, str]:
    """Return the MicroPython options that a C header sets, with their values as they stand."""
    return dict(_DEFINE.findall(header))


def options(sdkconfig: str) -> dict[str, str]:
    """Return the options that an sdkconfig text sets."""
    return dict(_OPTION.findall(sdkconfig))


def read_record(path: Path) -> dict[str, Any]:
    """Return what a board.json says; UsageError if it cannot be read."""
    try:
        record = json.loads(read_text(path))
    except ValueError as error:
        raise UsageError(f"{path} is no board.json: {error}.") from error
    if not isinstance(record, dict):
        raise UsageError(f"{path} is no board.json: it is no JSON object.")
    return record


def read_text(path: Path) -> str:
    """Return the text of a file; UsageError if it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}.") from error

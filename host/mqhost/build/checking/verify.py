"""Checks boards without building them: each against itself, and against MicroPython's own files.

    board.toml and its folder  →  plan, layout, chip, names          always
    a MicroPython checkout     →  what the board there is made of    where there is one

What a board says wrongly would show as an image that does not boot, or only after an hour of
compiling. What could not be checked here is said, too.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mqhost.build.board import Board
from mqhost.build.build import dry_run
from mqhost.build.checking import upstream_board
from mqhost.build.checking.upstream_board import (
    UpstreamBoard,
    defines,
    fragments,
    options,
    read_record,
    read_text,
)
from mqhost.build.freeze import read_manifest
from mqhost.build.layers import common, file_of
from mqhost.build.sdkconfig import computed, fragment, read_local
from mqhost.build.sources import upstream
from mqhost.build.sources.source import planned_source
from mqhost.errors import ToolError, UsageError
from mqhost.flash.chips import CHIPS
from mqhost.flash.layout import KIB

OK, WRONG, UNCHECKED = "ok", "wrong", "not checked"

# Of MicroPython's option files, those that our boards leave out, whatever they set.
_LEFT_OUT = {"boards/sdkconfig.ble"}
# Of its C options, those in which ours differ: they have names of their own, and no Bluetooth.
_OWN_DEFINES = {"MICROPY_HW_BOARD_NAME", "MICROPY_PY_BLUETOOTH"}
_JSON_KEYS = {"docs", "mcu", "product", "thumbnail", "url", "vendor", "deploy", "deploy_options"}
_JSON_KEYS |= {"features", "images"}


@dataclass(frozen=True)
class Finding:
    """What came of one check of a board: `state` is OK, WRONG or UNCHECKED; `words` say what was
    found, or what is wrong and where."""

    board: str
    check: str
    state: str
    words: str


def verify(board: Board, micropython: Path | str | None = None) -> list[Finding]:
    """Check `board`, and against MicroPython's sources where they are at hand: those of
    `micropython`, or of the board's release if it was cloned already. Fetches nothing.
    """
    source = planned_source(board, micropython)
    there = (source.path / "py" / "mpconfig.h").is_file()
    own: dict[str, Callable[[], str]] = {
        "plan": lambda: _plan(board, micropython),
        "layout": lambda: _layout(board),
    }
    theirs: dict[str, Callable[[], str]] = {"manifest": lambda: _manifest(board, source.path)}
    if board.secure:
        own["secured"] = lambda: board.secure.words
    if board.port == "esp32":
        own |= {
            "chip": lambda: _chip(board),
            "mpconfigboard.cmake": lambda: _cmake(board),
            "mpconfigboard.h": lambda: _header(board),
            "board.json": lambda: _record(board),
        }
        theirs |= {
            "MicroPython's board": lambda: _target(board, source.path),
            "option files": lambda: _fragments(board, source.path),
            "C options": lambda: _defines(board, source.path),
            "flash offset": lambda: _flash_offset(board, source.path),
            "catalogue": lambda: _catalogue(board, source.path),
            "ESP-IDF": lambda: _idf(board, source.path),
        }
    else:
        theirs |= {"MicroPython's variant": lambda: _variant(board, source.path)}
    findings = [_judged(board, name, check) for name, check in own.items()]
    for name, check in theirs.items():
        if there:
            findings.append(_judged(board, name, check))
        else:
            words = f"no sources of MicroPython {source.version} here: --micropython DIR"
            findings.append(Finding(board.name, name, UNCHECKED, words))
    return findings


def _judged(board: Board, name: str, check: Callable[[], str]) -> Finding:
    try:
        words = check()
    except ToolError as error:
        return Finding(board.name, name, WRONG, str(error))
    if words.startswith(UNCHECKED):
        return Finding(board.name, name, UNCHECKED, words.removeprefix(f"{UNCHECKED}: "))
    return Finding(board.name, name, OK, words)


def _plan(board: Board, micropython: Path | str | None) -> str:
    work = dry_run(board, micropython=micropython)
    return f"to run: {', '.join(step.title for step in work.steps)}"


def _layout(board: Board) -> str:
    slot, vfs = board.table.slots[0], board.table.find("vfs")
    return f"slots of {slot.size // KIB:,} KiB, {vfs.size // KIB:,} KiB for files"


def _chip(board: Board) -> str:
    chip = CHIPS.get(board.mcu)
    if chip is None:
        raise UsageError(f"mcu is {board.mcu!r}; known chips: {', '.join(CHIPS)}.")
    _same("chip_id", board.chip_id, chip.number, board)
    _same("flash_offset", board.flash_offset, chip.flash_offset, board)
    return f"{chip.title}, number {chip.number}, bootloader at {chip.flash_offset:#x}"


def _cmake(board: Board) -> str:
    path = file_of(board.folders, "mpconfigboard.cmake")
    text = read_text(path)
    if f"set(IDF_TARGET {board.mcu})" not in text:
        raise UsageError(f"{path} does not set IDF_TARGET to {board.mcu}, the board's mcu.")
    before, included, _ = text.partition("../common/mqboard.cmake")
    if not included or "SDKCONFIG_DEFAULTS" not in before:
        raise UsageError(
            f"{path} has to set SDKCONFIG_DEFAULTS and then include "
            "${MICROPY_BOARD_DIR}/../common/mqboard.cmake."
        )
    return f"for {board.mcu}"


def _header(board: Board) -> str:
    path = file_of(board.folders, "mpconfigboard.h")
    found = defines(read_text(path))
    wanted = f'"{board.mcu.upper()}"'
    if found.get("MICROPY_HW_MCU_NAME") != wanted:
        raise UsageError(f"{path} does not define MICROPY_HW_MCU_NAME as {wanted}.")
    if "MICROPY_HW_BOARD_NAME" not in found:
        raise UsageError(f"{path} does not define MICROPY_HW_BOARD_NAME: the board has no name.")
    return str(found["MICROPY_HW_BOARD_NAME"]).strip('"')


def _record(board: Board) -> str:
    path = file_of(board.folders, "board.json")
    record = read_record(path)
    try:
        offset = int(record["deploy_options"]["flash_offset"], 0)
        features = set(record["features"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no board.json: {error!r}.") from error
    if record.keys() != _JSON_KEYS:
        odd = ", ".join(sorted(record.keys() ^ _JSON_KEYS))
        raise UsageError(f"{path}: keys that are missing or too many: {odd}.")
    _same("mcu", record["mcu"], board.mcu, board, path)
    _same("flash_offset", offset, board.flash_offset, board, path)
    if path.parent == board.folder:  # one that it only inherits tells of the board it extends
        _same("product", record["product"], board.product, board, path)
        if ("External RAM" in features) != bool(board.spiram):
            raise UsageError(f"{path}: External RAM is a feature just of boards with spiram.")
    return str(record["product"])


def _manifest(board: Board, checkout: Path) -> str:
    tool = Path("tools", "manifestfile.py")
    if not (checkout / tool).is_file():
        return f"{UNCHECKED}: {checkout} has no {tool}"
    if board.port == "esp32" and not upstream.has_library(checkout):
        return f"{UNCHECKED}: {checkout} comes without all of {upstream.LIBRARY}"
    variables = {
        "MPY_DIR": str(checkout),
        "MPY_LIB_DIR": str(checkout / upstream.LIBRARY),
        "PORT_DIR": str(checkout / "ports" / board.port),
        "BOARD_DIR": str(board.folder),
    }
    files = read_manifest(board.manifest, variables)
    return f"{len(files)} modules to freeze"


def _target(board: Board, checkout: Path) -> str:
    found = UpstreamBoard.read(checkout, board.based_on)
    _same(f"the chip of {board.based_on}", board.mcu, found.target, board)
    return board.based_on


def _fragments(board: Board, checkout: Path) -> str:
    """Ours exist, and what those of MicroPython's board set that ours leave out, ours set alike."""
    theirs = UpstreamBoard.read(checkout, board.based_on).fragments
    ours = fragments(read_text(file_of(board.folders, "mpconfigboard.cmake")))
    if board.spiram:
        ours += CHIPS[board.mcu].spiram[board.spiram]
    missing = upstream_board.missing_fragments(checkout, ours)
    if missing:
        raise UsageError(f"MicroPython has no {', '.join(missing)}.")
    own = dict(_own_options(board))
    for name in theirs:
        if name in ours or name in _LEFT_OUT:
            continue
        wanted = upstream_board.options_of(checkout, name)
        lost = sorted(f"{key}={wanted[key]}" for key in wanted if own.get(key) != wanted[key])
        if lost:
            raise UsageError(f"{board.based_on} has {name}, the board has not: {', '.join(lost)}.")
    return f"{len(ours)} of MicroPython's"


def _own_options(board: Board) -> Iterator[tuple[str, str]]:
    """Yield the options that the board's own fragments set, later ones last."""
    for path in (
        common(board.folders) / "sdkconfig.common",
        file_of(board.folders, "sdkconfig.board"),
    ):
        yield from options(read_text(path)).items()
    yield from options(computed(board) + fragment(read_local(board, ()))).items()


def _defines(board: Board, checkout: Path) -> str:
    theirs = UpstreamBoard.read(checkout, board.based_on).defines
    path = file_of(board.folders, "mpconfigboard.h")
    ours = defines(read_text(path))
    lost = [
        f"{name} {value}"
        for name, value in sorted(theirs.items())
        if name not in _OWN_DEFINES and ours.get(name) != value
    ]
    if lost:
        raise UsageError(f"{path} lacks what {board.based_on} defines: {', '.join(lost)}.")
    return f"{len(ours)}, those of MicroPython's board among them"


def _flash_offset(board: Board, checkout: Path) -> str:
    found = UpstreamBoard.read(checkout, board.based_on).flash_offset
    _same(f"the flash offset of {board.based_on}", board.flash_offset, found, board)
    return f"{found:#x}"


def _catalogue(board: Board, checkout: Path) -> str:
    theirs = UpstreamBoard.read(checkout, board.based_on).record
    path = file_of(board.folders, "board.json")
    ours = read_record(path)
    unknown = sorted(set(ours["features"]) - upstream_board.features(checkout))
    if unknown:
        raise UsageError(f"{path}: MicroPython's catalogue knows no {', '.join(unknown)}.")
    keys = sorted(ours.keys() - theirs.keys())
    if keys:
        raise UsageError(f"{path}: MicroPython's board.json has no {', '.join(keys)}.")
    return "board.json as MicroPython's"


def _idf(board: Board, checkout: Path) -> str:
    wanted = upstream_board.idf_version(checkout, board.mcu)
    tag = re.sub("^v", "", board.toolchain.rpartition(":")[2])
    _same("the ESP-IDF of toolchain", tag, wanted, board)
    return wanted


def _variant(board: Board, checkout: Path) -> str:
    folder = checkout / "ports" / "unix" / "variants" / board.based_on
    if not folder.is_dir():
        raise UsageError(f"{folder} is missing: MicroPython has no variant {board.based_on}.")
    return board.based_on


def _same(what: str, ours: object, wanted: object, board: Board, path: Path | None = None) -> None:
    """Raise UsageError unless `ours` is what it has to be."""
    if ours != wanted:
        where = path or file_of(board.folders, "board.toml")
        raise UsageError(f"{where}: {what} is {ours!r} and has to be {wanted!r}.")

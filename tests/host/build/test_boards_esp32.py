"""Tests the ESP32 boards' files: whole, in step with each other, and of options that exist."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakecheckout import make_checkout
from fakeidf import REAL

from mqhost.build.board import Board, boards, find
from mqhost.build.freeze import read_manifest
from mqhost.build.layers import file_of
from mqhost.build.sdkconfig import computed
from mqhost.build.secure import DEVELOPMENT, RELEASE, Secure
from mqhost.build.sources.source import debian_source
from mqhost.build.sources.upstream import LIBRARY
from mqhost.errors import UsageError
from mqhost.flash.chips import CHIPS
from mqhost.flash.layout import SLOTS
from mqhost.flash.partition import DATA, NVS
from mqhost.paths import BOARDS

KIB = 1024
ALL = boards()
COMMON = BOARDS / "common"
# Of the upstream build's output, what one more board must not need.
FILES = {
    "board.json",
    "board.toml",
    "mpconfigboard.cmake",
    "mpconfigboard.h",
    "sdkconfig.board",
}
FRAGMENTS = [COMMON / "sdkconfig.common"]
FRAGMENTS += [board.folder / "sdkconfig.board" for board in REAL if not board.bases]
each = pytest.mark.parametrize("board", REAL, ids=lambda board: board.name)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return make_checkout(
        debian_source(find("sim").fallback), tmp_path_factory.mktemp("micropython")
    )


def options(path: Path) -> dict[str, str]:
    """Return the options that a fragment sets."""
    lines = [
        line.split("=", 1) for line in path.read_text().splitlines() if line[:1] not in ("#", "")
    ]
    return {name: value for name, value in lines}


def known_options() -> set[str]:
    lines = (COMMON / "options.txt").read_text().splitlines()
    return {line.split()[0] for line in lines if not line.startswith("#")}


def partitions_fragment() -> set[str]:
    """Return the options that mqboard.cmake writes by itself."""
    return set(re.findall(r'"(CONFIG_\w+)=', (COMMON / "mqboard.cmake").read_text()))


def computed_options() -> set[str]:
    """Return the options that board.toml's keys can set."""
    boards = [find("esp32").with_flash(size) for size in SLOTS]
    for mcu, chip in CHIPS.items():
        for scheme, mode in itertools.product(chip.secure_boot, (DEVELOPMENT, RELEASE)):
            boards.append(replace(find(mcu), secure=Secure(scheme, mode)))
    return {line.split("=")[0] for board in boards for line in computed(board).splitlines()}


def test_the_boards_that_people_have_are_there():
    assert [board.name for board in REAL] == [
        "esp32",
        "esp32-spiram",
        "esp32c2",
        "esp32c3",
        "esp32c5",
        "esp32c6",
        "esp32s2",
        "esp32s3",
        "esp32s3-octal",
    ]
    assert {board.flash_size // KIB // KIB for board in REAL} == {4, 8}


@each
def test_a_board_is_these_files_and_no_others(board):
    assert {path.name for folder in board.folders for path in folder.iterdir()} == FILES


@each
def test_the_chip_is_the_one_the_mcu_names(board):
    chip = CHIPS[board.mcu]
    assert (board.chip_id, board.flash_offset) == (chip.number, chip.flash_offset)
    assert (board.micropython, board.toolchain) == ("v1.28.0", "espressif/idf:v5.5.1")


@each
def test_the_layout_has_equal_slots_and_room_for_files(board):
    table = board.table
    first, second = table.slots
    assert first.size == second.size
    assert first.offset == 0x10000
    assert first.size >= 1536 * KIB
    vfs = table.find("vfs")  # without it the port would make one of whatever is left
    assert vfs.type == DATA
    assert vfs.size >= 704 * KIB
    assert vfs.end == board.flash_size
    assert table.find_type(DATA, NVS).size >= 16 * KIB


def test_boards_of_4_mib_have_the_layout_of_the_simulated_board():
    sim = find("sim").table
    for board in REAL:
        if board.flash_size == find("sim").flash_size and not board.slot_size:
            assert board.table == sim


@each
def test_micropythons_side_has_no_bluetooth(board):
    assert "sdkconfig.ble" not in file_of(board.folders, "mpconfigboard.cmake").read_text()
    header = file_of(board.folders, "mpconfigboard.h").read_text()
    assert re.search(r"^#define MICROPY_PY_BLUETOOTH \(0\)$", header, re.MULTILINE)


def test_only_options_that_exist_are_set_and_all_that_are_listed():
    fragments = [
        COMMON / "sdkconfig.common",
        *(file_of(b.folders, "sdkconfig.board") for b in REAL),
    ]
    used = {name for path in fragments for name in options(path)} | partitions_fragment()
    used |= computed_options()
    assert used == known_options()


@pytest.mark.parametrize(
    "path",
    [COMMON / "sdkconfig.common", *(file_of(b.folders, "sdkconfig.board") for b in REAL)],
    ids=str,
)
def test_a_fragment_is_lines_that_end(path):
    text = path.read_text()
    assert text.endswith("\n")  # the next fragment is put right behind it
    for line in text.splitlines():
        assert re.fullmatch(r'(#.*|CONFIG_[A-Z0-9_]+=(y|n|\d+|".*"))?', line), line


def test_what_brings_a_board_back_is_on():
    common = options(COMMON / "sdkconfig.common")
    for name in (
        "BOOTLOADER_APP_ROLLBACK_ENABLE",
        "BOOTLOADER_WDT_ENABLE",
        "ESP_INT_WDT",
        "ESP_TASK_WDT_EN",
        "ESP_TASK_WDT_INIT",
        "ESP_SYSTEM_PANIC_PRINT_REBOOT",
        "APP_REPRODUCIBLE_BUILD",
    ):
        assert common[f"CONFIG_{name}"] == "y"


@pytest.mark.parametrize("size", [size // KIB // KIB for size in SLOTS])
def test_the_flash_size_is_the_one_in_the_bootloaders_header(size):
    lines = computed(find("esp32").with_flash(size * KIB * KIB)).splitlines()
    other = ["CONFIG_ESPTOOLPY_FLASHSIZE_4MB=n", f"CONFIG_ESPTOOLPY_FLASHSIZE_{size}MB=y"]
    assert lines == ([] if size == 4 else other)  # what sdkconfig.base sets


@pytest.mark.parametrize("board", ALL, ids=lambda board: board.name)
def test_the_manifest_resolves_and_no_names_collide(board, checkout):
    variables = {
        "MPY_DIR": str(checkout),
        "MPY_LIB_DIR": str(checkout / LIBRARY),
        "PORT_DIR": str(checkout / "ports" / board.port),
    }
    targets = [file.target for file in read_manifest(board.manifest, variables)]
    assert len(targets) == len(set(targets))
    assert {"_boot.py", "boot.py", "main.py", "mqboard/board.py", "mqwire/__init__.py"} <= {
        *targets
    }
    assert {"asyncio/core.py", "flashbdev.py"} <= {*targets}
    assert not {"inisetup.py"} & {*targets}
    if board.port == "esp32":  # built in, and a frozen module would hide them
        assert not {"esp32.py", "network.py", "socket.py", "time.py"} & {*targets}


def broken(tmp_path: Path, **values: str) -> Board:
    text = (find("esp32").folder / "board.toml").read_text()
    for key, value in values.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    (tmp_path / "board.toml").write_text(text)
    return Board.load(tmp_path)


def test_a_flash_offset_behind_the_partition_table_is_refused(tmp_path):
    with pytest.raises(UsageError, match="flash_offset is 0x8000"):
        broken(tmp_path, flash_offset="0x8000")

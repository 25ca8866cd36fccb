"""Tests the checks of boards: ours have nothing wrong, each mistake is found, and what could not be
checked is said. MicroPython's boards are those of a record of v1.28.0 (fakeboards)."""

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fakeboards import RECORD, make_boards
from rich.console import Console

from mqhost.build.board import Board, boards, find
from mqhost.build.checking.verify import OK, UNCHECKED, WRONG, Finding, verify
from mqhost.cli.tasks import show
from mqhost.errors import ToolError
from mqhost.flash.chips import CHIPS
from mqhost.paths import BOARDS

ESP32 = [board for board in boards() if board.port == "esp32"]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory) -> Path:
    return make_boards(tmp_path_factory.mktemp("micropython"))


@pytest.fixture
def board(tmp_path) -> Board:
    """Copy a board, and what it shares with others, to where it may be spoilt."""
    shutil.copytree(BOARDS / "common", tmp_path / "common")
    return Board.load(shutil.copytree(BOARDS / "esp32c5", tmp_path / "esp32c5"))


def states(findings: list[Finding]) -> Counter[str]:
    return Counter(finding.state for finding in findings)


def wrong(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.words for finding in findings if finding.state == WRONG}


@pytest.mark.parametrize("board", ESP32, ids=lambda board: board.name)
def test_our_boards_are_what_micropython_has(board, upstream):
    assert board.micropython == RECORD["release"]
    findings = verify(board, upstream)
    assert wrong(findings) == {}
    assert states(findings) == {OK: 12, UNCHECKED: 1}
    (unchecked,) = (finding for finding in findings if finding.state == UNCHECKED)
    assert (unchecked.check, "tools/manifestfile.py" in unchecked.words) == ("manifest", True)


@pytest.mark.parametrize("name", ["esp32-8mib", "esp32s3-octal-16mib", "esp32c5-16mib"])
def test_so_are_those_with_another_flash(name, upstream):
    assert wrong(verify(find(name), upstream)) == {}


def test_every_chip_is_one_that_micropython_builds_for():
    assert CHIPS.keys() <= set(RECORD["targets"])
    kinds = [kind for chip in CHIPS.values() for kind in chip.spiram.values()]
    fragments = {name for kind in kinds for name in kind}
    assert fragments <= RECORD["fragments"].keys()
    cmake = (BOARDS / "common" / "mqboard.cmake").read_text()
    assert set(re.findall(r"boards/sdkconfig\.\w+", cmake)) == fragments


def test_without_sources_the_rest_is_said_not_to_be_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    findings = verify(find("esp32"))
    assert states(findings) == {OK: 6, UNCHECKED: 7}
    words = {finding.words for finding in findings if finding.state == UNCHECKED}
    assert words == {"no sources of MicroPython 1.28.0 here: --micropython DIR"}


def test_what_is_frozen_is_looked_for_in_a_whole_checkout(checkout):
    small = replace(find("esp32"), manifest=BOARDS.parent / "manifest" / "esp32_small.py")
    for board, least in ((find("sim"), 80), (small, 60), (find("esp32"), 80)):
        found = {item.check: item for item in verify(board, checkout)}["manifest"]
        assert (found.state, int(found.words.split()[0]) > least) == (OK, True)


CMAKE, HEADER = "mpconfigboard.cmake", "mpconfigboard.h"
# file, what stands there, what is put in its place → what is found to be wrong with which words
MISTAKES = [
    ("board.toml", "chip_id = 23", "chip_id = 13", "chip", "chip_id is 13 and has to be 23"),
    ("board.toml", "= 0x2000", "= 0x1000", "chip", "flash_offset is 4096 and has to be 8192"),
    ("board.toml", "= 0x2000", "= 0x1000", "flash offset", "flash offset of ESP32_GENERIC_C5"),
    ("board.toml", "_GENERIC_C5", "_GENERIC_C6", "MicroPython's board", "has to be 'esp32c6'"),
    ("board.toml", "_GENERIC_C5", "_NOPE", "MicroPython's board", "_NOPE/mpconfigboard"),
    ("board.toml", "_C5", "_C5-OTA", "option files", "mpconfigvariant_OTA.cmake cannot be read"),
    ("board.toml", "1664KiB", "2048KiB", "layout", "do not fit"),
    ("board.toml", "1664KiB", "2048KiB", "plan", "do not fit"),
    ("board.toml", "idf:v5.5.1", "idf:v5.4", "ESP-IDF", "'5.4' and has to be '5.5.1'"),
    (CMAKE, "IDF_TARGET esp32c5", "IDF_TARGET esp32c6", CMAKE, "esp32c5"),
    (CMAKE, "../common/", "../", CMAKE, "mqboard.cmake"),
    (CMAKE, "config.free_ram", "config.free", "option files", "has no boards/sdkconfig.free"),
    ("sdkconfig.board", "FREQ_80M", "FREQ_40M", "option files", "CONFIG_ESPTOOLPY_FLASHFREQ_80M=y"),
    (HEADER, '"ESP32C5"', '"ESP32C6"', HEADER, 'MCU_NAME as "ESP32C5"'),
    (HEADER, "BOARD_NAME", "BOARD_NAMES", HEADER, "has no name"),
    (HEADER, "MACHINE_I2S (0)", "MACHINE_I2S (1)", "C options", "MICROPY_PY_MACHINE_I2S (0)"),
    ("board.json", '"esp32c5"', '"esp32c6"', "board.json", "mcu is 'esp32c6'"),
    ("board.json", '"0x2000"', '"0"', "board.json", "flash_offset is 0"),
    ("board.json", '"vendor"', '"maker"', "board.json", "missing or too many: maker, vendor"),
    ("board.json", '"ESP32-C5"', '"ESP32-C55"', "board.json", "product is 'ESP32-C55'"),
    ("board.json", '"WiFi"', '"External RAM"', "board.json", "boards with spiram"),
    ("board.json", '"WiFi"', '"WLAN"', "catalogue", "knows no WLAN"),
    ("board.json", "{", "[", "board.json", "is no board.json"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "check", "words"), MISTAKES)
def test_a_mistake_is_found_with_what_it_has_to_be(upstream, board, file, old, new, check, words):
    path = board.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert words in wrong(verify(Board.load(board.folder), upstream))[check]


def test_a_file_that_is_missing_is_named(upstream, board):
    for name in (CMAKE, HEADER, "board.json"):
        (board.folder / name).unlink()
        assert f"{name} cannot be read" in wrong(verify(board, upstream))[name]


def test_the_command_says_what_is_wrong_and_ends_so(upstream, board, capsys):
    console = Console(width=200)
    show.verified(console, [board], str(upstream))
    assert "12 checks found nothing wrong; 1 could not be made." in capsys.readouterr().out
    with pytest.raises(ToolError, match="1 of 13 checks found something wrong") as caught:
        show.verified(console, [replace(board, chip_id=5)], str(upstream))
    assert caught.value.exit_code == 1
    assert "chip_id is 5 and has to be 23" in capsys.readouterr().out

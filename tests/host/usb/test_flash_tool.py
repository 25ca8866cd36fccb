"""Tests the real esptool against a chip that is not there: what it is asked and what it says."""

import sys
import time

import pytest
from fakechip import FakeChip

from mqhost.build.board import find
from mqhost.errors import BoardError, SilentBoardError, ToolError, UsageError
from mqhost.usb import flash_tool
from mqhost.usb.flash_tool import Esptool
from mqhost.usb.target import Piece

ESP32 = find("esp32")
DATA = bytes(range(256)) * 1000


def stands_in(*lines, code=2):
    """Make a command that prints what esptool prints when it fails in ways that need hardware."""
    text = "\n".join(lines)
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]


@pytest.mark.parametrize(
    ("chip_id", "size", "board", "name"),
    [
        (None, 4, "esp32", "ESP32"),
        (5, 4, "esp32c3", "ESP32-C3"),
        (9, 8, "esp32s3", "ESP32-S3"),
        (13, 4, "esp32c6", "ESP32-C6"),
    ],
)
def test_the_chip_of_each_board_is_recognised(chip_id, size, board, name):
    with FakeChip(chip_id, size << 20) as chip:
        assert Esptool(chip.port).identify(find(board)) == f"{name} with {size} MB of flash"


def test_another_chip_is_refused():
    with FakeChip(5) as chip, pytest.raises(UsageError, match="is an ESP32-C3; board esp32 is"):
        Esptool(chip.port).identify(ESP32)


def test_a_flash_that_is_too_small_is_refused():
    with FakeChip(size=2 << 20) as chip, pytest.raises(UsageError, match="has 2 MB.*needs 4 MB"):
        Esptool(chip.port).identify(ESP32)


def test_what_is_written_is_there_and_is_read_back(chip):
    seen = []
    target = Esptool(chip.port, progress=lambda *report: seen.append(report))
    target.write([Piece(0x1000, DATA, "firmware"), Piece(0x310000, DATA[:8192], "filesystem")])
    assert chip.flash[0x1000 : 0x1000 + len(DATA)] == DATA
    assert chip.flash[0x310000:0x312000] == DATA[:8192]
    assert chip.flash[0x100000:0x101000] == b"\x55" * 4096
    assert not chip.erased
    assert ("writing firmware", 100, 100) in seen and ("writing filesystem", 100, 100) in seen
    assert target.read(0x1000, 0x2000) == DATA[:0x2000]


def test_everything_is_erased_when_asked_to(chip):
    Esptool(chip.port).write([Piece(0, DATA, "firmware")], erase=True)
    assert chip.erased == 1
    assert chip.flash[0x100000:0x101000] == b"\xff" * 4096


def test_wrong_bits_in_the_flash_are_noticed(chip):
    chip.wrong_bits = True
    with pytest.raises(BoardError, match="does not hold what was written.*--baud 115200"):
        Esptool(chip.port).write([Piece(0, DATA, "firmware")])


def test_a_connection_that_breaks_off_is_an_error(chip):
    chip.cut_after = 1
    with pytest.raises(ToolError) as error:
        Esptool(chip.port).write([Piece(0, DATA, "firmware")])
    assert "broke off" in str(error.value)


def test_what_esptool_could_not_verify_is_an_error():
    command = stands_in("Wrote 1 bytes", "Cannot verify written data if encrypted", code=0)
    with pytest.raises(BoardError, match="could not verify"):
        Esptool("P", command=command).write([Piece(0, b"x", "firmware")])


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("Could not open P ([Errno 13] Permission denied: 'P')", UsageError, "usermod -aG dialout"),
        ("Could not open P\n([Errno 16] Device or resource busy: 'P')", UsageError, "in use"),
        ("[Errno 11] Could not exclusively lock port P", UsageError, "in use"),
        ("Failed to connect to ESP32: No serial data received.", SilentBoardError, "BOOT"),
        ("The chip stopped responding.", BoardError, "broke off"),
        ("device reports readiness to read but returned no data (device disconnected or multiple "
         "access on port?)", BoardError, "broke off"),
        ("Something new.", BoardError, r"esptool failed at P \(exit code 2\): Something new."),
    ],
)  # fmt: skip
def test_every_failure_says_what_to_do(said, kind, words):
    command = stands_in("esptool v5.6.0", f"A fatal error occurred: {said}")
    with pytest.raises(kind, match=words):
        Esptool("P", command=command).identify(ESP32)


def test_a_port_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="There is no port .*nowhere"):
        Esptool(str(tmp_path / "nowhere")).identify(ESP32)


def test_a_missing_esptool_is_named(monkeypatch):
    with pytest.raises(ToolError, match="pip install esptool"):
        Esptool("P", command=["/nowhere/esptool"]).identify(ESP32)
    monkeypatch.setattr(flash_tool.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="esptool is missing"):
        Esptool("P").identify(ESP32)


def test_unknown_output_is_an_error():
    with pytest.raises(BoardError, match="does not say which chip"):
        Esptool("P", command=stands_in("hello", code=0)).identify(ESP32)


def test_stopping_stops_esptool_too():
    def stop(what, done, total):
        if total:
            raise KeyboardInterrupt

    line = "Writing at 0x00001000 =====    42.0% 1.00kB/2.00kB [0s]"
    script = f"import time; print({line!r}, flush=True); time.sleep(600)"
    target = Esptool("P", command=[sys.executable, "-c", script], progress=stop)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        target.write([Piece(0, b"x", "firmware")])
    assert time.monotonic() - started < 60

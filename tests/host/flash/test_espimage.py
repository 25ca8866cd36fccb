"""Tests the app image: esptool accepts it, and every way of being wrong is told apart."""

import subprocess
import sys
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqhost.errors import ToolError
from mqhost.flash.espimage import ImageError, _xor, build_app_image, executable_of, verify
from mqwire.flash import image_size

EXECUTABLE = b"\x7fELF" + bytes(range(256)) * 81 + b"x"


def image(executable: bytes = EXECUTABLE, **changes) -> bytes:
    arguments = {
        "chip_id": 0,
        "project": "mqboard",
        "version": "1.2.3",
        "build_time": 1_700_000_000,
        "idf_version": "sim",
    }
    return build_app_image(executable, **(arguments | changes))


@pytest.mark.parametrize("chip", [["--chip", "esp32"], []])
@pytest.mark.parametrize("extra", [0, 1, 70_000])
def test_esptool_accepts_the_image(tmp_path, chip, extra):
    file = tmp_path / "app.bin"
    file.write_bytes(image(EXECUTABLE + b"\xc3" * extra))
    command = [sys.executable, "-m", "esptool", *chip, "image-info", str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = [" ".join(line.split()).lower() for line in answer.stdout.splitlines()]
    assert any(line.startswith("checksum:") and line.endswith("(valid)") for line in lines)
    assert any(line.startswith("validation hash:") and "(valid)" in line for line in lines)
    assert any(line.startswith("app version: 1.2.3") for line in lines)
    assert any(line.startswith("project name: mqboard") for line in lines)
    assert "invalid" not in answer.stdout.lower()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 15, 16, 17, 4095, 4096, 4097])
def test_the_executable_comes_out_as_it_went_in(size):
    data = image(EXECUTABLE[:size])
    assert executable_of(data) == EXECUTABLE[:size]
    assert executable_of(data.ljust(100_000, b"\xff")) == EXECUTABLE[:size]
    assert verify(data).size == len(data)


def test_info_says_what_the_image_is():
    data = image(chip_id=9)
    info = verify(data.ljust(65536, b"\xff"), 9)
    assert (info.size, info.chip_id) == (len(data), 9)
    assert (info.project, info.version) == ("mqboard", "1.2.3")
    assert info.digest == data[-32:].hex()
    assert image_size(lambda offset, size: data[offset : offset + size], len(data)) == len(data)


def test_the_same_arguments_give_the_same_bytes():
    assert image() == image()
    assert image() != image(build_time=1_700_000_060)


def test_long_texts_are_cut_and_stay_text():
    assert verify(image(version="ä" * 40)).version == "ä" * 15


def test_an_image_for_another_chip_is_named():
    with pytest.raises(ImageError, match="for ESP32-S3; this board is ESP32"):
        verify(image(chip_id=9), 0)


@pytest.mark.parametrize("cut", [1, 31, 32, 33, 5000])
def test_a_truncated_image_is_named(cut):
    with pytest.raises(ImageError, match=r"truncated or damaged.* B there are"):
        verify(image()[:-cut])


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_no_flipped_bit_gets_through(position, bit):
    data = bytearray(image())
    # An image whose hash flag is cleared says that it has no SHA-256; all else is summed.
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(ImageError):
        verify(bytes(data), 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\xff" * 4096, "blank"),
        (b"hello, world, how are you", "begins with 68656c6c"),
        (EXECUTABLE, "ELF executable"),
        (b"\xff" * 0x8000 + b"\xaa\x50", r"flash image .* app.bin"),
        (b"\xe9\x00" + bytes(30), "no app image"),
        (b"\xe9\x11" + bytes(30), "no app image"),
    ],
)
def test_what_is_no_app_image_is_told_apart(data, message):
    with pytest.raises(ImageError, match=message) as error:
        verify(data)
    assert isinstance(error.value, ToolError)


@pytest.mark.parametrize("flash_offset", [0, 0x1000])
def test_a_flash_image_that_begins_with_a_bootloader_image_is_no_app_image(flash_offset):
    flash = image(b"boot").ljust(0x8000 - flash_offset, b"\xff") + b"\xaa\x50" + bytes(100)
    with pytest.raises(ImageError, match="flash image"):
        verify(flash)


def test_an_image_of_a_real_board_has_no_executable_for_us():
    data = bytearray(image())
    data[1] = 1
    with pytest.raises(ImageError, match="invoke build --board sim"):
        executable_of(bytes(data))


@given(st.binary(max_size=300))
def test_the_folded_xor_is_the_xor(data):
    assert _xor(data) == reduce(xor, data, 0)

"""Tests flashing: the right chip, the right address, and no files lost unasked."""

from dataclasses import replace

import pytest
from chipbuild import ESP32, SIM, files_on, lay_build, make
from cryptography.hazmat.primitives.asymmetric import ec
from rsakeys import private_pem

from mqhost.build.board import find
from mqhost.build.secure import Secure
from mqhost.errors import UsageError
from mqhost.signing.secure_boot import SecureBootKey
from mqhost.sim.flash import Flash
from mqhost.usb import provision
from mqhost.usb.flashing import Firmware, flash, open_target


def test_the_firmware_is_written_where_the_chip_looks_for_it(chip, built):
    said = flash(ESP32, chip.port, folder=built)
    image = (built / "flash.bin").read_bytes()
    assert chip.flash[0x1000 : 0x1000 + len(image)] == image
    assert "ESP32 with 4 MB" in said and "esp32 1.2.3" in said and "at 0x1000" in said


def test_the_builds_own_offset_wins(tmp_path):
    folder = lay_build(tmp_path / "build", replace(ESP32, flash_offset=0), flash_offset=0)
    assert Firmware.load(ESP32, folder).offset == 0


def test_what_is_not_built_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"flash\.bin is missing.*invoke build --board esp32"):
        flash(ESP32, "P", folder=tmp_path)


def test_another_boards_or_a_damaged_image_is_refused_before_anything_is_asked(built):
    path = built / "flash.bin"
    good = path.read_bytes()
    with pytest.raises(UsageError, match="other partitions"):
        Firmware.load(find("esp32s3"), lay_build(built, replace(ESP32, flash_offset=0)))
    path.write_bytes(good[:-40])
    with pytest.raises(UsageError, match="cannot be flashed.*truncated"):
        Firmware.load(ESP32, built)
    path.write_bytes(b"\xff" * len(good))
    with pytest.raises(UsageError, match="is no flash image for esp32"):
        Firmware.load(ESP32, built)
    lay_build(built, replace(ESP32, chip_id=5))
    with pytest.raises(UsageError, match="for ESP32-C3; this board is ESP32"):
        Firmware.load(ESP32, built)


def test_a_secured_board_is_flashed_once_and_only_by_those_who_know(tmp_path, chip):
    board = replace(ESP32, secure=Secure("ecdsa256", "release"))
    unsigned = lay_build(tmp_path / "unsigned", board)
    with pytest.raises(UsageError, match="not signed for secure boot: the chip would burn"):
        flash(board, chip.port, folder=unsigned, burn=True)
    pem = private_pem(ec.derive_private_key(7, ec.SECP256R1())).encode()
    built = lay_build(tmp_path / "built", board, sign=SecureBootKey("ecdsa256", "here", pem).sign)
    before = bytes(chip.flash)
    with pytest.raises(UsageError, match="(?s)burns eFuses.*encrypts.*--burn-efuses"):
        flash(board, chip.port, folder=built)
    firmware = Firmware.load(board, built)
    with pytest.raises(UsageError, match="(?s)burns eFuses.*Nothing was written"):
        provision.provision(board, make(), chip.port, firmware=firmware)
    with pytest.raises(UsageError, match="give the firmware with them, --firmware"):
        provision.provision(board, make(), chip.port)
    with pytest.raises(UsageError, match="give the firmware with them"):
        provision.write_file(board, make(), tmp_path / "factory.bin")
    said = provision.write_file(board, make(), tmp_path / "factory.bin", firmware=firmware)
    assert "burns eFuses" in said and "Write it with: esptool write-flash 0x1000" in said
    assert bytes(chip.flash) == before
    provision.provision(board, make(), chip.port, firmware=firmware, burn=True)
    image = (built / "flash.bin").read_bytes()
    assert chip.flash[0x1000 : 0x1000 + len(image)] == image
    assert "/config.json" in files_on(chip.flash, board)


def test_simulated_and_real_are_not_mixed_up(tmp_path, built):
    with pytest.raises(UsageError, match="is a simulated board.*--port sim:PATH"):
        flash(SIM, "/dev/ttyUSB0", folder=lay_build(tmp_path / "sim", SIM))
    with pytest.raises(UsageError, match="a real one"):
        flash(ESP32, f"sim:{tmp_path / 'flash'}", folder=built)
    with pytest.raises(UsageError, match="flash file"):
        open_target("sim:")


def test_a_running_simulated_board_is_left_alone(tmp_path):
    path = tmp_path / "flash"
    Flash.create(path, SIM.flash_size)
    folder = lay_build(tmp_path / "sim", SIM)
    with Flash(path), pytest.raises(UsageError, match="in use by another simulated board"):
        flash(SIM, f"sim:{path}", folder=folder)
    assert "4 MB" in flash(SIM, f"sim:{path}", folder=folder)


def test_a_flash_file_of_another_size_is_refused(tmp_path):
    Flash.create(tmp_path / "flash", 2 << 20)
    folder = lay_build(tmp_path / "sim", SIM)
    with pytest.raises(UsageError, match="needs a flash of 4,194,304 B"):
        flash(SIM, f"sim:{tmp_path / 'flash'}", folder=folder)


def test_flashing_keeps_the_files_unless_everything_is_erased(tmp_path):
    port, folder = f"sim:{tmp_path / 'flash'}", lay_build(tmp_path / "sim", SIM)
    flash(SIM, port, folder=folder)
    provision.provision(SIM, make(), port)
    flash(SIM, port, folder=folder)
    assert files_on((tmp_path / "flash").read_bytes(), SIM) == ["/config.json"]
    flash(SIM, port, folder=folder, erase=True)
    assert files_on((tmp_path / "flash").read_bytes(), SIM) == []

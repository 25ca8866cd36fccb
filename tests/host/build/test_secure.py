"""Tests secured boards: what ESP-IDF is asked for, the layout, and what a chip cannot."""

from pathlib import Path

import pytest

from mqhost.build.board import Board, find
from mqhost.build.build import dry_run
from mqhost.build.sdkconfig import computed
from mqhost.errors import UsageError
from mqhost.flash.chips import CHIPS
from mqhost.flash.layout import SLOTS, layout
from mqhost.flash.partition import FLAGS, SECURED_TABLE_OFFSET, TABLE_SIZE, PartitionTable
from mqhost.signing.secure_boot import SCHEMES

BOTH = 'secure_boot = "{scheme}"\nflash_encryption = "{mode}"'


def secured(folder: Path, base: str, table: str) -> Board:
    own = folder / f"vault-{base}"
    own.mkdir(exist_ok=True)
    (own / "board.toml").write_text(f'extends = "{base}"\n[secure]\n{table}\n')
    return Board.load(own)


def options(board: Board) -> dict[str, str]:
    return dict(line.split("=", 1) for line in computed(board).splitlines())


@pytest.mark.parametrize("mcu", CHIPS)
def test_each_chip_gets_the_options_of_its_kind(tmp_path, mcu):
    for scheme in CHIPS[mcu].secure_boot:
        board = secured(tmp_path, mcu, BOTH.format(scheme=scheme, mode="release"))
        found = options(board)
        yes = {name.removeprefix("CONFIG_") for name, value in found.items() if value == "y"}
        wanted = {"SECURE_BOOT", "SECURE_BOOT_V2_ENABLED", "SECURE_FLASH_ENC_ENABLED"}
        wanted |= {"SECURE_FLASH_ENCRYPTION_MODE_RELEASE", "NVS_ENCRYPTION"}
        wanted |= {"NVS_SEC_KEY_PROTECT_USING_FLASH_ENC"}
        rsa = {"SECURE_SIGNED_APPS_RSA_SCHEME"}
        ecdsa = {"SECURE_SIGNED_APPS_ECDSA_V2_SCHEME", "SECURE_BOOT_ECDSA_KEY_LEN_256_BITS"}
        wanted |= rsa if scheme == "rsa3072" else ecdsa
        wanted |= {"esp32": {"ESP32_REV_MIN_3"}, "esp32c3": {"ESP32C3_REV_MIN_3"}}.get(mcu, set())
        assert wanted == {name for name in yes if "FLASHSIZE" not in name}
        # Signed here, not where the compiler runs: the key never goes there.
        assert found["CONFIG_SECURE_BOOT_BUILD_SIGNED_BINARIES"] == "n"
        assert found["CONFIG_PARTITION_TABLE_OFFSET"] == "0xe000"
        assert "SIGNING_KEY" not in computed(board)


def test_each_can_be_had_alone(tmp_path):
    boot = options(secured(tmp_path, "esp32s3", 'secure_boot = "rsa3072"'))
    assert "CONFIG_SECURE_BOOT" in boot and not any("FLASH_ENC" in name for name in boot)
    flash = secured(tmp_path, "esp32s3", 'flash_encryption = "development"')
    assert options(flash)["CONFIG_SECURE_FLASH_ENCRYPTION_MODE_DEVELOPMENT"] == "y"
    assert not any("SECURE_BOOT" in name for name in options(flash))
    assert not any("SECURE" in name for name in options(find("esp32s3")))


def test_they_come_before_those_of_the_command_line(tmp_path):
    (tmp_path / "own").write_text("CONFIG_SECURE_DISABLE_ROM_DL_MODE=y\n")
    board = secured(tmp_path, "esp32c6", BOTH.format(scheme="ecdsa256", mode="development"))
    work = dry_run(board, sdkconfig=[tmp_path / "own"])
    text = work.texts[work.tree / "sdkconfig.local"]
    assert text.startswith(computed(board)) and text.endswith(
        "CONFIG_SECURE_DISABLE_ROM_DL_MODE=y\n"
    )
    assert work.texts[work.tree / "partitions.csv"] == board.layout_csv


@pytest.mark.parametrize("size", SLOTS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_the_layout_leaves_the_bootloader_room_and_encrypts_what_is_secret(size, encrypted):
    table = layout(size, secured=True, encrypted=encrypted)
    assert table.offset == SECURED_TABLE_OFFSET
    assert table.find("nvs").offset == SECURED_TABLE_OFFSET + TABLE_SIZE
    assert table.slots[0].size == layout(size).slots[0].size
    assert (table.slots[0].offset, table.find("vfs").end) == (0x20000, size)
    flags = {p.label: p.flags for p in table.partitions if p.flags}
    secret = {"nvs_keys": FLAGS["encrypted"], "vfs": FLAGS["encrypted"]}
    assert flags == (secret if encrypted else {})
    assert PartitionTable.from_bytes(table.to_bytes(), table.offset) == table


@pytest.mark.parametrize(
    ("base", "table", "words"),
    [
        ("esp32", 'secure_boot = "ecdsa256"', "esp32 can: rsa3072"),
        ("esp32c5", 'secure_boot = "ecdsa256"', "esp32c5 can: rsa3072"),
        ("esp32c2", 'secure_boot = "rsa3072"', "esp32c2 can: ecdsa256"),
        ("esp32c2", 'secure_boot = "ecdsa256"', "one eFuse block for the keys of both"),
        ("esp32", 'secure_boot = "rsa4096"', "'rsa4096'; known: rsa3072, ecdsa256"),
        ("esp32", 'flash_encryption = "on"', "'on'; known: development, release"),
        ("esp32", 'secureboot = "rsa3072"', "unknown key secureboot in .secure."),
        ("esp32", "secure_boot = true", "is True; known"),
        ("sim", 'secure_boot = "rsa3072"', "simulated board has no eFuses"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, base, table, words):
    with pytest.raises(UsageError, match=words):
        secured(tmp_path, base, table)


def test_an_empty_table_is_nothing(tmp_path):
    board = secured(tmp_path, "sim", "")
    assert not board.secure and board.secure.words == "none"
    assert board.table == find("sim").table


def test_people_are_told_what_cannot_be_undone(tmp_path):
    board = secured(tmp_path, "esp32", BOTH.format(scheme="rsa3072", mode="release"))
    steps = "\n".join(board.secure.steps(board.name))
    for words in ("burns eFuses", "never be undone", "copy of the key", "over MQTT", "last time"):
        assert words in steps
    trial = secured(tmp_path, "esp32", 'flash_encryption = "development"')
    assert "NOT for boards that leave the desk" in "\n".join(trial.secure.steps("x"))
    assert set(SCHEMES) == {scheme for chip in CHIPS.values() for scheme in chip.secure_boot}

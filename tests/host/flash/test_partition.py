"""Tests the partition table: what the CSV says stands in flash, and what is wrong is named."""

import hashlib
from pathlib import Path

import pytest

from mqhost.errors import UsageError
from mqhost.flash.layout import layout
from mqhost.flash.partition import Partition, PartitionTable

FLASH = 4 * 1024 * 1024
HEAD = "nvs, data, nvs, 0x9000, 0x4000,\notadata, data, ota, 0xd000, 0x2000,\n"
SLOTS = "ota_0, app, ota_0, 0x10000, 1M,\nota_1, app, ota_1, 0x110000, 1M,\n"


def load(tmp_path: Path, text: str) -> PartitionTable:
    csv = tmp_path / "partitions.csv"
    csv.write_text(text)
    return PartitionTable.load(csv, FLASH)


def test_the_sim_board_has_the_layout_of_the_esp32_ota_board():
    table = layout(FLASH)
    assert [(p.label, p.offset, p.size) for p in table.partitions] == [
        ("nvs", 0x9000, 0x4000),
        ("otadata", 0xD000, 0x2000),
        ("phy_init", 0xF000, 0x1000),
        ("ota_0", 0x10000, 0x180000),
        ("ota_1", 0x190000, 0x180000),
        ("vfs", 0x310000, 0xF0000),
    ]
    assert [slot.label for slot in table.slots] == ["ota_0", "ota_1"]
    assert table.find("vfs").end == FLASH


def test_bytes_are_rows_and_an_md5_row_and_read_back():
    table = layout(FLASH)
    data = table.to_bytes()
    assert len(data) == 4096
    assert data[:32] == (
        b"\xaa\x50\x01\x02\x00\x90\x00\x00\x00\x40\x00\x00nvs" + bytes(13) + bytes(4)
    )
    assert data[192:224] == b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(data[:192]).digest()
    assert data[224:] == b"\xff" * (4096 - 224)
    assert PartitionTable.from_bytes(data) == table


@pytest.mark.parametrize("position", [0, 5, 40, 200])
def test_a_damaged_table_is_refused(position):
    data = bytearray(layout(FLASH).to_bytes())
    data[position] ^= 1
    with pytest.raises(UsageError, match="partition table"):
        PartitionTable.from_bytes(bytes(data))


def test_a_blank_table_is_refused():
    with pytest.raises(UsageError, match="empty"):
        PartitionTable.from_bytes(b"\xff" * 4096)


def test_empty_offsets_follow_the_partition_before_aligned(tmp_path):
    table = load(
        tmp_path,
        "# a comment\n\nnvs, data, nvs, , 16K\notadata, data, ota, , 8K,\n"
        "ota_0, app, ota_0, , 0x100000,  # one\nota_1, app, 17, , 1048576,encrypted\n"
        "log, 0x40, 1, , 1m, encrypted:readonly\n",
    )
    assert [(p.offset, p.size) for p in table.partitions] == [
        (0x9000, 0x4000),
        (0xD000, 0x2000),
        (0x10000, 0x100000),
        (0x110000, 0x100000),
        (0x210000, 0x100000),
    ]
    assert table.partitions[-1] == Partition("log", 0x40, 1, 0x210000, 0x100000, 3)
    assert table.slots[1].flags == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + SLOTS + "vfs, data, fat, 0x210800, 0x1000,", r"line 5: vfs is at 0x210800.*0x1000"),
        (HEAD + "ota_0, app, ota_0, 0x11000, 1M,", r"line 3: ota_0 is at 0x11000.*0x10000"),
        (HEAD + SLOTS + "vfs, data, fat, 0x200000, 64K,", r"line 5: vfs is at 0x200000.*ota_1"),
        (HEAD + SLOTS + "vfs, data, fat, , 8M,", r"line 5: vfs ends at 0xa10000.*0x4"),
        (HEAD + SLOTS + "vfs, data, fat, , 100,", r"line 5: vfs has size 0x64"),
        (HEAD + SLOTS + "vfs, data, fat, , 0,", r"line 5: vfs has size 0x0"),
        (HEAD + SLOTS + "vfs, data, fat, , many,", r"line 5: size 'many' is no number"),
        (HEAD + SLOTS + "vfs, data, ext4, , 4K,", r"line 5: unknown subtype 'ext4'; known: ota"),
        (HEAD + SLOTS + "vfs, disk, fat, , 4K,", r"line 5: unknown type 'disk'; known: app, data"),
        (HEAD + SLOTS + "vfs, data, fat, , 4K, quick", r"line 5: unknown flag 'quick'"),
        (HEAD + SLOTS + "vfs, data, fat", r"line 5: expected 'name, type"),
        (HEAD + SLOTS + "seventeen_letters, data, fat, , 4K,", r"line 5: a name has 1 to 16 bytes"),
        (HEAD + SLOTS + "nvs, data, nvs, , 4K,", r"line 5: there are two partitions named nvs"),
        (HEAD + "ota_0, app, ota_0, , 1M,", r"two slots .* found ota_0 of 0x100000"),
        (HEAD + "ota_0, app, ota_0, , 1M,\nota_1, app, ota_1, , 2M,", r"equal size; found"),
        (HEAD + "a, app, ota_3, , 1M,\nb, app, ota_4, , 1M,", r"subtypes ota_0 and ota_1"),
        (SLOTS, r"type data, subtype ota, size 0x2000"),
        ("boot, data, nvs, 0x1000, 0x1000,", r"line 1: boot is at 0x1000; the bootloader"),
    ],
)
def test_an_error_names_file_line_and_numbers(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as error:
        load(tmp_path, text)
    assert "partitions.csv" in str(error.value)


def test_an_unknown_label_names_the_known_ones():
    table = layout(FLASH)
    with pytest.raises(UsageError, match=r"'ota_2'; the table has nvs, otadata"):
        table.find("ota_2")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nothing\.csv: cannot read"):
        PartitionTable.load(tmp_path / "nothing.csv", FLASH)

"""Tests the computed layouts: those of boards in the field to the byte, and every one updatable."""

from pathlib import Path

import pytest

from mqhost.errors import UsageError
from mqhost.flash.layout import KIB, MIB, SLOTS, layout, layout_csv
from mqhost.flash.partition import APP_ALIGNMENT, TABLE_SIZE, PartitionTable

# As boards have it that were built before layouts were computed. What they have cannot be changed.
GOLDEN = Path(__file__).with_name("layouts")


@pytest.mark.parametrize("size", [4, 8])
def test_boards_in_the_field_keep_their_layout(size):
    golden = PartitionTable.load(GOLDEN / f"{size}MiB.csv", size * MIB)
    assert layout(size * MIB).to_bytes() == golden.to_bytes()


@pytest.mark.parametrize("size", SLOTS)
@pytest.mark.parametrize("filesystem", [0, 512 * KIB, 1028 * KIB])
def test_every_layout_can_be_updated_and_leaves_room_for_files(size, filesystem):
    table = layout(size, filesystem_size=filesystem)
    first, second = table.slots
    assert first.size == second.size
    assert first.offset % APP_ALIGNMENT == first.size % APP_ALIGNMENT == 0
    assert first.end == second.offset and second.end == table.find("vfs").offset
    assert table.find("vfs").size >= (filesystem or 960 * KIB)
    # At most what the slots cannot share is left over behind it.
    assert size - table.find("vfs").end < 2 * APP_ALIGNMENT
    assert [p.label for p in table.partitions[:3]] == ["nvs", "otadata", "phy_init"]
    assert len(table.to_bytes()) == TABLE_SIZE


def test_sizes_may_be_given():
    table = layout(4 * MIB, slot_size=1664 * KIB)
    assert (table.slots[0].size, table.find("vfs").size) == (1664 * KIB, 704 * KIB)
    table = layout(16 * MIB, slot_size=2 * MIB, filesystem_size=MIB)
    assert table.find("vfs").end == 0x10000 + 5 * MIB  # the rest is left to others


@pytest.mark.parametrize(
    ("flash", "sizes", "words"),
    [
        (2, {}, "no layout for 2 MiB of flash; known: 4 MiB, 8 MiB, 16 MiB"),
        (4, {"slot_size": 2 * MIB}, "two slots of 2,097,152 B and a filesystem of 65,536 B"),
        (4, {"slot_size": 1500 * KIB}, "slot_size is 1,536,000 B, no multiple of 65,536 B"),
        (4, {"filesystem_size": 1000}, "filesystem_size is 1,000 B, no multiple of 4,096 B"),
        (4, {"filesystem_size": 4 * MIB}, "two slots of 0 B and a filesystem of 4,194,304 B"),
        (8, {"slot_size": 3 * MIB, "filesystem_size": 2 * MIB}, "into 8,323,072 B, what 8 MiB"),
    ],
)
def test_what_cannot_be_is_refused_with_the_numbers(flash, sizes, words):
    with pytest.raises(UsageError, match=words):
        layout_csv(flash * MIB, **sizes)

"""Tests the bootloader: a table of cases, a whole update, power cuts at every operation."""

import pytest

from mqhost.build.board import find
from mqhost.flash.espimage import build_app_image
from mqhost.flash.otadata import Record
from mqhost.sim.bootloader import Bootloader, NothingBootable
from mqhost.sim.esperror import EspError, InvalidArgument, OtaValidateFailed
from mqhost.sim.flash import Flash, PowerLost
from mqwire.flash import ABORTED, INVALID, NEW, PENDING_VERIFY, UNDEFINED, VALID

SIZE = 4 * 1024 * 1024
TABLE = find("sim").table
OTA_0, OTA_1 = TABLE.slots
OTADATA = TABLE.find("otadata")


def image(version: str, chip_id: int = 0) -> bytes:
    return build_app_image(
        version.encode() * 100,
        chip_id=chip_id,
        project="test",
        version=version,
        build_time=0,
        idf_version="sim",
    )


class Board:
    """A flash with images and otadata records, and its bootloader."""

    def __init__(self, flash: Flash):
        self.flash = flash
        self.bootloader = Bootloader(flash, TABLE)

    def put(self, slot, data: bytes) -> None:
        self.flash.erase(slot.offset, 8192)
        self.flash.program(slot.offset, data)

    def record(self, index: int, record: Record) -> None:
        self.flash.erase(OTADATA.offset + 4096 * index)
        self.flash.program(OTADATA.offset + 4096 * index, record.to_bytes())

    def boot(self) -> str:
        return self.bootloader.boot().image.version

    def states(self) -> list[tuple[int, int]]:
        records = self.bootloader.records()
        return [(r.sequence, r.state) for r in records if r.written]


@pytest.fixture
def board(tmp_path):
    Flash.create(tmp_path / "flash", SIZE)
    with Flash(tmp_path / "flash") as flash:
        board = Board(flash)
        board.put(OTA_0, image("old"))
        board.put(OTA_1, image("new"))
        yield board


BLANK = Record.from_bytes(b"\xff" * 32)
BROKEN = Record(8, VALID, 0)


@pytest.mark.parametrize(
    ("first", "second", "boots", "then"),
    [
        # Never updated: the first slot, and otadata says so from now on.
        (BLANK, BLANK, "old", [(1, VALID)]),
        (BROKEN, BLANK, "old", [(1, VALID)]),
        (Record.make(1, VALID), BLANK, "old", [(1, VALID)]),
        (Record.make(2, VALID), BLANK, "new", [(2, VALID)]),
        (Record.make(2, UNDEFINED), BLANK, "new", [(2, UNDEFINED)]),
        (Record.make(1, VALID), Record.make(2, VALID), "new", [(1, VALID), (2, VALID)]),
        (Record.make(3, VALID), Record.make(2, VALID), "old", [(3, VALID), (2, VALID)]),
        (BROKEN, Record.make(1, VALID), "old", [(1, VALID)]),
        # On trial: marked before it runs; not confirmed when it comes back here: aborted.
        (Record.make(1, VALID), Record.make(2, NEW), "new", [(1, VALID), (2, PENDING_VERIFY)]),
        (
            Record.make(1, VALID),
            Record.make(2, PENDING_VERIFY),
            "old",
            [(1, VALID), (2, ABORTED)],
        ),
        (Record.make(1, VALID), Record.make(2, ABORTED), "old", [(1, VALID), (2, ABORTED)]),
        (Record.make(1, VALID), Record.make(2, INVALID), "old", [(1, VALID), (2, INVALID)]),
        # Both failed: the first slot, nothing rewritten.
        (Record.make(2, ABORTED), Record.make(3, ABORTED), "old", [(2, ABORTED), (3, ABORTED)]),
    ],
)
def test_the_record_decides(board, first, second, boots, then):
    board.record(0, first)
    board.record(1, second)
    assert board.boot() == boots
    assert board.states() == then


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1] + bytes([data[-1] & 0x55 & ~data[-1]]),
        lambda data: b"\xff" * len(data),
        lambda data: image("wrong", chip_id=9),
        lambda data: data[: len(data) // 2],
    ],
)
def test_an_image_that_fails_verification_is_passed_over(board, damage):
    board.record(0, Record.make(1, VALID))
    board.record(1, Record.make(2, VALID))
    board.put(OTA_1, damage(image("new")))
    choice = board.bootloader.boot()
    assert choice.image.version == "old"
    assert choice.passed_over[0].startswith("ota_1: ")


def test_a_damaged_first_slot_boots_the_second(board):
    board.put(OTA_0, b"\0" * 100)
    assert board.boot() == "new"
    assert board.states() == [(2, VALID)]


def test_nothing_bootable_is_said_with_reasons(board):
    board.flash.erase(OTA_0.offset, 8192)
    board.put(OTA_1, image("new", chip_id=9))
    with pytest.raises(NothingBootable, match=r"ota_0: .*blank.* ota_1: .*ESP32-S3"):
        board.boot()


def test_an_update_that_confirms_stays(board):
    assert board.boot() == "old"
    board.bootloader.set_boot(OTA_1.offset)
    assert board.bootloader.boot_slot() == OTA_1
    assert board.boot() == "new"
    board.bootloader.mark_valid()
    assert [board.boot() for _ in range(3)] == ["new"] * 3
    assert board.states() == [(1, VALID), (2, VALID)]


def test_an_update_that_does_not_confirm_is_rolled_back_for_good(board):
    board.boot()
    board.bootloader.set_boot(OTA_1.offset)
    assert [board.boot() for _ in range(4)] == ["new", "old", "old", "old"]
    assert board.states() == [(1, VALID), (2, ABORTED)]


def test_update_after_update_alternates(board):
    board.boot()
    for number in range(6):
        slot = (OTA_1, OTA_0)[number % 2]
        board.bootloader.set_boot(slot.offset)
        assert board.boot() == ("new", "old")[number % 2]
        board.bootloader.mark_valid()


def test_a_rolled_back_board_takes_the_next_update(board):
    board.boot()
    board.bootloader.set_boot(OTA_1.offset)
    board.boot()
    assert board.boot() == "old"
    board.bootloader.set_boot(OTA_1.offset)
    assert board.boot() == "new"
    board.bootloader.mark_valid()
    assert board.boot() == "new"


def test_set_boot_refuses_what_it_cannot_boot(board):
    board.boot()
    board.put(OTA_1, image("new")[:-1])
    with pytest.raises(OtaValidateFailed) as error:
        board.bootloader.set_boot(OTA_1.offset)
    assert (error.value.code, error.value.name) == (5379, "ESP_ERR_OTA_VALIDATE_FAILED")
    with pytest.raises(InvalidArgument):
        board.bootloader.set_boot(OTADATA.offset)
    assert isinstance(error.value, EspError)
    assert board.boot() == "old"


def test_marking_valid_twice_or_blank_does_nothing(board):
    board.bootloader.mark_valid()
    board.boot()
    before = board.flash.counters.operations
    board.bootloader.mark_valid()
    assert board.flash.counters.operations == before


@pytest.mark.parametrize("partial", [0.0, 0.004, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("operations", range(14))
def test_power_may_go_at_any_flash_operation_of_an_update(board, operations, partial):
    """Whatever is cut off, the board boots, and after the cut an update can be made."""
    board.boot()
    board.flash.cut_power_after(operations, partial)
    confirmed = False
    try:
        board.bootloader.set_boot(OTA_1.offset)
        assert board.boot() == "new"
        board.bootloader.mark_valid()
        confirmed = True
        board.flash.cut_power_after(None)
    except PowerLost:
        pass
    versions = [board.boot() for _ in range(3)]
    if confirmed:
        assert versions == ["new"] * 3
        assert operations >= 6, "the update has six operations: three times erase and program"
        return
    assert versions[1] == versions[2], "the board must settle"
    target, name = (OTA_1, "new") if versions[2] == "old" else (OTA_0, "old")
    board.bootloader.set_boot(target.offset)
    assert board.boot() == name
    board.bootloader.mark_valid()
    assert board.boot() == name


@pytest.mark.parametrize("partial", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("operations", range(4))
def test_power_may_go_while_the_bootloader_writes(board, operations, partial):
    board.record(0, Record.make(1, VALID))
    board.record(1, Record.make(2, PENDING_VERIFY))
    board.flash.cut_power_after(operations, partial)
    try:
        assert board.boot() == "old"
        board.flash.cut_power_after(None)
    except PowerLost:
        assert board.boot() == "old"
    assert board.boot() == "old"

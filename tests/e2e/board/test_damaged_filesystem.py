"""Tests that a board boots from whatever is in its filesystem's flash, and says what it found."""

import contextlib
import errno

import pytest
from littlefs import LittleFS, UserContext
from littlefs.errors import LittleFSError

from ci.storage import Bench, Stuck
from mqhost.flash.filesystem import BLOCK, PARAMETERS
from mqhost.sim.chip import ResetCause

CASES = 200  # of the two thousand that invoke bench runs


@pytest.fixture
def bench(tmp_path, sim, firmware):
    table = sim.table
    return Bench(tmp_path, firmware.app, firmware.flash, table)


def test_no_damage_keeps_a_board_from_booting(bench):
    count = bench.attack(CASES)
    assert not count.stuck, "\n".join(count.stuck)
    assert count.cases == CASES == count.found.total()
    assert set(count.found) == {"fine", "damaged", "made anew"}


def test_an_older_root_folder_is_not_passed_off_as_fine(bench):
    # The root folder's other block is that of the day when the filesystem was made.
    newest = bench.newest
    assert bench.recover(newest) == "fine"
    found = {
        bench.recover(newest[:start] + bytes(BLOCK) + newest[start + BLOCK :])
        for start in (0, BLOCK)
    }
    assert found == {"fine", "damaged"}


def test_a_filesystem_that_kills_boots_is_made_anew_after_the_second(bench):
    bench.write(bench.newest)
    reads = bench.boot(ResetCause.PWRON)["boot_reads"]
    assert reads > 40
    # The first boot of a filesystem that was made on the host writes, and so reads more.
    for at in (0, 1, reads // 4, reads // 2):
        assert bench.recover(bench.newest, deaths=1, at=at) == "fine"  # it may have been bad luck
        assert bench.recover(bench.newest, deaths=2, at=at) == "made anew"
        assert bench.recover(bench.newest, deaths=3, at=at) == "made anew"


# A check that cannot fail is a defect.


def test_a_board_that_boots_for_ever_is_found_out(bench, monkeypatch):
    monkeypatch.setattr("ci.storage._MOST_BOOTS", 1)
    with pytest.raises(Stuck, match="1 boots died.*SIGSEGV"):
        bench.recover(bench.newest, deaths=1, at=5)


def test_a_boot_that_hangs_is_found_out(bench, monkeypatch, tmp_path):
    endless = tmp_path / "endless.py"
    endless.write_text("while True:\n    pass\n")
    monkeypatch.setattr("ci.storage._AGENT", endless)
    monkeypatch.setattr("ci.storage._WATCHDOG_SECONDS", 0.1)
    assert "no end within 0.1 s" in bench.attack(1).stuck[0]


@pytest.mark.parametrize(("files", "reads"), [(0, 100), (9, 5000)])
def test_files_that_are_gone_without_a_word_are_found_out(bench, monkeypatch, files, reads):
    told = {"storage": None, "files": files, "boot_reads": reads}
    monkeypatch.setattr(bench, "boot", lambda *_: told)
    with pytest.raises(Stuck):
        bench.recover(bench.newest)


class Failing(UserContext):
    """A filesystem in memory that loses power after `left` operations, None: never."""

    left = None

    def prog(self, cfg, block, offset, data):
        return super().prog(cfg, block, offset, data) if self.lasts() else -errno.EIO

    def erase(self, cfg, block):
        return super().erase(cfg, block) if self.lasts() else -errno.EIO

    def lasts(self):
        if self.left is not None:
            self.left -= 1
        return self.left is None or self.left >= 0


def test_what_a_rename_between_folders_left_undone_is_done_at_boot(bench):
    """LittleFS 2.11 does not find the name behind that of the file until something is written."""
    hidden = 0
    for operations in range(4):
        flash = Failing(buffer=bytearray(bench.newest))
        filesystem = LittleFS(flash, block_count=0, **PARAMETERS)
        filesystem.mkdir("/moved")
        with filesystem.open("/config.a", "w") as file:  # stands before config.json
            file.write("x")
        flash.left = operations
        with contextlib.suppress(LittleFSError):
            filesystem.rename("/config.a", "/moved/here")
        flash.left = None
        undone = "config.json" not in LittleFS(flash, block_count=0, **PARAMETERS).listdir("/")
        hidden += undone
        bench.write(bytes(flash.buffer))
        told = bench.boot(ResetCause.PWRON)
        assert told["storage"] is None
        assert bool(told["boot_writes"]) == undone
    assert hidden == 1

"""Tests that simulated flash keeps NOR's rules, loses power where told, and has one owner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqhost.errors import UsageError
from mqhost.sim.flash import Flash, FlashError, PowerLost

SIZE = 4 * 4096


@pytest.fixture
def flash(tmp_path):
    Flash.create(tmp_path / "flash", SIZE)
    with Flash(tmp_path / "flash") as flash:
        yield flash


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Give one flash for the generated cases; each erases what it uses."""
    path = tmp_path_factory.mktemp("flash") / "flash"
    Flash.create(path, SIZE)
    with Flash(path) as flash:
        yield flash


@given(
    st.lists(st.tuples(st.integers(0, 8192 - 1), st.binary(min_size=1, max_size=300)), max_size=8)
)
def test_programming_only_clears_bits(scratch, writes):
    scratch.erase(0, SIZE)
    expected = bytearray(b"\xff" * SIZE)
    for address, data in writes:
        for offset, byte in enumerate(data):
            expected[address + offset] &= byte
        scratch.program(address, data)
    assert scratch.read(0, SIZE) == expected


def test_erasing_sets_whole_sectors_only(flash):
    flash.program(0, bytes(SIZE))
    flash.erase(4096, 8192)
    assert flash.read(0, SIZE) == bytes(4096) + b"\xff" * 8192 + bytes(4096)
    assert (flash.counters.erases, flash.counters.programs) == (2, 4)
    assert flash.counters.programmed_bytes == SIZE


@pytest.mark.parametrize(("address", "size"), [(1, 4096), (0, 4095), (0, 1), (2048, 4096)])
def test_an_unaligned_erase_is_refused(flash, address, size):
    with pytest.raises(FlashError, match="multiples of 0x1000"):
        flash.erase(address, size)
    assert flash.counters.operations == 0


def test_what_is_outside_is_refused(flash):
    with pytest.raises(FlashError, match="outside"):
        flash.erase(SIZE, 4096)
    with pytest.raises(FlashError, match="outside"):
        flash.program(SIZE - 1, b"ab")
    with pytest.raises(FlashError, match="outside"):
        flash.read(-1, 1)


def test_power_goes_before_the_operation_that_was_named(flash):
    flash.cut_power_after(2)
    flash.program(0, b"a")
    flash.program(1, b"b")
    with pytest.raises(PowerLost):
        flash.program(2, b"c")
    assert flash.read(0, 3) == b"ab\xff"
    flash.program(2, b"c")  # power is back
    assert flash.read(0, 3) == b"abc"


@pytest.mark.parametrize(("partial", "done"), [(0.0, 0), (0.25, 1024), (0.5, 2048), (1.0, 4096)])
def test_power_goes_part_way(flash, partial, done):
    flash.cut_power_after(0, partial)
    with pytest.raises(PowerLost):
        flash.program(0, bytes(4096))
    assert flash.read(0, 4096) == bytes(done) + b"\xff" * (4096 - done)
    flash.program(0, bytes(4096))
    flash.cut_power_after(0, partial)
    with pytest.raises(PowerLost):
        flash.erase(0)
    assert flash.read(0, 4096) == b"\xff" * done + bytes(4096 - done)


def test_a_program_over_sectors_is_an_operation_each(flash):
    flash.cut_power_after(1)
    with pytest.raises(PowerLost):
        flash.program(4000, bytes(200))
    assert flash.read(4000, 200) == bytes(96) + b"\xff" * 104


def test_a_cut_can_be_taken_back(flash):
    flash.cut_power_after(0)
    flash.cut_power_after(None)
    flash.program(0, b"x")


def test_a_flash_has_one_owner(flash):
    with pytest.raises(UsageError, match="in use by another simulated board"):
        Flash(flash.path)
    flash.close()
    Flash(flash.path).close()


def test_a_missing_or_odd_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot open the flash"):
        Flash(tmp_path / "nothing")
    (tmp_path / "odd").write_bytes(b"123")
    with pytest.raises(UsageError, match="it has 3 B, not a multiple of 4096"):
        Flash(tmp_path / "odd")


def test_create_puts_the_image_at_zero_and_keeps_the_old_file_when_it_does_not_fit(tmp_path):
    path = tmp_path / "new" / "flash"
    Flash.create(path, 8192, b"image")
    assert path.read_bytes() == b"image" + b"\xff" * (8192 - 5)
    with pytest.raises(UsageError, match="8,193 B; the flash holds 8,192 B"):
        Flash.create(path, 8192, bytes(8193))
    assert [file.name for file in path.parent.iterdir()] == ["flash"]


def test_what_is_written_can_be_read_from_the_file_at_once(flash):
    with flash.path.open("rb") as other:
        flash.program(0, b"now")
        assert other.read(3) == b"now"

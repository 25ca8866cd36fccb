"""Tests that docs/boards.md and the README have every board, as it is, and say what was shown."""

from pathlib import Path

from mqhost.build.board import boards, find
from mqhost.flash.layout import KIB, MIB, SLOTS
from mqhost.paths import ROOT

PAGE = (ROOT / "docs" / "boards.md").read_text()
ALL = boards()


def rows(head: str, page: str = PAGE) -> dict[str, list[str]]:
    """Return the cells of the table that begins with `head`, by the name in the first."""
    text = page.split(f"| {head} |", 1)[1].split("\n\n", 1)[0]
    cells = [line.strip("|").split("|") for line in text.splitlines()[2:]]
    return {first.strip(" `"): [cell.strip() for cell in rest] for first, *rest in cells}


def test_every_board_stands_there_as_it_is():
    table = rows("board | chip | slot | filesystem | based on MicroPython's")
    assert list(table) == [board.name for board in ALL]
    for board in ALL:
        chip, slot, files, based_on = table[board.name]
        assert chip.endswith(f", {board.flash_size // MIB} MiB")
        assert slot == f"{board.table.slots[0].size // KIB:,} KiB"
        assert files == f"{board.table.find('vfs').size // KIB:,} KiB"
        if board.port == "esp32":
            name, _, variant = board.based_on.partition("-")
            assert based_on == f"`{name}`" + (f", variant `{variant}`" if variant else "")


def test_of_every_board_it_is_said_what_was_shown():
    table = rows("board | checked | compiled | emulated | run on a chip")
    assert list(table) == [board.name for board in ALL]
    for board in ALL:
        checked, *shown = table[board.name]
        assert checked == "yes"  # in tests/host/build/test_verify.py
        assert len(shown) == 3 and set(shown) <= {"yes", "no", "no chip"}
        assert (
            shown == sorted(shown, reverse=True) or "no chip" in shown
        )  # each needs the one before


def test_the_sizes_that_are_computed_are_told():
    table = rows("flash | slot | filesystem")
    assert len(table) == len(SLOTS)
    for size in SLOTS:
        board = find("esp32").with_flash(size)
        wanted = [board.table.slots[0].size, board.table.find("vfs").size]
        assert table[f"{size // MIB} MiB"] == [f"{number // KIB:,} KiB" for number in wanted]


def test_the_readme_has_every_board():
    table = rows("board | for | flash", Path(ROOT / "README.md").read_text())
    assert {name: cells[1] for name, cells in table.items()} == {
        board.name: f"{board.flash_size // MIB} MiB" for board in ALL
    }

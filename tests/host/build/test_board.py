"""Tests the board definitions: what is read, and what is refused with which words."""

from pathlib import Path

import pytest

from mqhost.build.board import Board, boards, find, parse_flash_size
from mqhost.errors import UsageError

GOOD = """
port = "unix"
mcu = "esp32"
chip_id = 0
product = "A board"
based_on = "standard"
micropython = "1.25.0+ds-1"
flash_size = "4MiB"
manifest = "manifest/sim.py"
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "board.toml").write_text(text)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        Board.load(folder)
    assert str(folder / "board.toml") in str(caught.value)
    return str(caught.value)


def test_every_board_of_the_project_loads_and_has_its_files():
    found = boards()
    assert "sim" in [board.name for board in found]
    for board in found:
        assert board.manifest.is_file()
        assert board.table.slots[0].label == "ota_0"


def test_a_definition_becomes_a_board(tmp_path):
    board = Board.load(write(tmp_path / "shed", GOOD + 'features = ["wifi", "ble"]\n'))
    assert board.name == "shed"
    assert board.flash_size == 4 * 1024 * 1024
    assert board.features == ("wifi", "ble")
    assert board.toolchain == ""
    assert board.partitions is None
    assert board.table == find("sim").table


def test_an_unknown_key_is_named(tmp_path):
    assert "unknown key flashsize" in refusal(write(tmp_path / "b", GOOD + "flashsize = 4\n"))


@pytest.mark.parametrize("line", GOOD.split("\n")[1:-1])
def test_a_missing_key_is_named(tmp_path, line):
    folder = write(tmp_path / "b", GOOD.replace(line + "\n", ""))
    assert f"missing key {line.split()[0]}" in refusal(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("chip_id = 0", "chip_id = true", "chip_id is True; it must be a whole number"),
        ("chip_id = 0", 'chip_id = "0"', "chip_id is '0'; it must be a whole number"),
        ("chip_id = 0", "chip_id = 65536", "chip_id is 65536"),
        ('mcu = "esp32"', "mcu = 32", "mcu is 32; it must be a text"),
        ('"4MiB"', '"4MB"', "flash_size is '4MB'; write it as '4MiB'"),
        ('"4MiB"', '"0MiB"', "flash_size is '0MiB'"),
        ('"4MiB"', '"512KiB"', "flash_size is '512KiB'"),
        ("chip_id = 0", 'chip_id = 0\nslot_size = "1.5MiB"', "slot_size is '1.5MiB'"),
        ("chip_id = 0", 'chip_id = 0\nspiram = "quad"', "knows of esp32: none"),
        (
            "chip_id = 0",
            'chip_id = 0\nslot_size = "1MiB"\npartitions = "p.csv"',
            "Leave out one or the other",
        ),
        ('"unix"', '"linux"', "known ports: unix, esp32"),
        ('port = "unix"', 'features = [1]\nport = "unix"', "a list of texts"),
        ("chip_id = 0", 'chip_id = 0\nsigning = "no"', "signing is 'no'; known: required, none"),
        ("chip_id = 0", "chip_id = ", "is not TOML"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, old, new, words):
    assert words in refusal(write(tmp_path / "b", GOOD.replace(old, new)))


def test_a_folder_without_a_definition_is_an_error(tmp_path):
    assert "cannot read" in refusal(tmp_path)


def test_a_board_is_found_by_name(tmp_path):
    write(tmp_path / "shed", GOOD)
    assert find("shed", tmp_path).name == "shed"


@pytest.mark.parametrize("name", ["nope", "", "../shed", "shed/", "."])
def test_an_unknown_board_names_the_known_ones(tmp_path, name):
    write(tmp_path / "shed", GOOD)
    write(tmp_path / "attic", GOOD)
    with pytest.raises(UsageError, match="Known boards: attic, shed") as caught:
        find(name, tmp_path)
    assert caught.value.exit_code == 2


def test_a_board_that_extends_another_says_only_what_differs(tmp_path):
    text = GOOD + 'features = ["wifi"]\npartitions = "partitions.csv"\n'
    base = write(tmp_path / "shed", text)
    (base / "partitions.csv").touch()
    write(tmp_path / "attic", 'extends = "shed"\nproduct = "Attic"\n')
    board = find("attic", tmp_path)
    assert (board.name, board.product, board.features) == ("attic", "Attic", ("wifi",))
    assert board.folders == (tmp_path / "attic", base)
    assert board.partitions == base / "partitions.csv", "a file it has none of its own of"
    (tmp_path / "attic" / "partitions.csv").touch()
    assert find("attic", tmp_path).partitions == tmp_path / "attic" / "partitions.csv"
    write(tmp_path / "roof", 'extends = "attic"\n')
    assert find("roof", tmp_path).product == "Attic"


def test_one_of_ours_can_be_extended_from_anywhere(tmp_path):
    sim = find("sim")
    board = Board.load(write(tmp_path / "shed", 'extends = "sim"\nproduct = "Shed"\n'))
    assert (board.port, board.manifest, board.bases) == ("unix", sim.manifest, (sim.folder,))
    assert Board.load(write(tmp_path / "sim", 'extends = "sim"\n')).bases == (sim.folder,)


def test_files_are_those_of_the_folder_whose_board_names_them(tmp_path):
    (write(tmp_path / "shed", 'extends = "esp32"\nsdkconfig = ["quiet"]\n') / "own.py").touch()
    write(tmp_path / "attic", 'extends = "shed"\nmanifest = "manifest/esp32_small.py"\n')
    write(tmp_path / "shed", 'extends = "esp32"\nsdkconfig = ["quiet"]\nmanifest = "own.py"\n')
    board, base = find("attic", tmp_path), find("shed", tmp_path)
    assert base.manifest == tmp_path / "shed" / "own.py"
    assert board.manifest.is_file() and board.manifest.name == "esp32_small.py"
    assert board.sdkconfig == base.sdkconfig == (tmp_path / "shed" / "quiet",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('extends = "nope"', "extends is 'nope', and there is no such board. Known: attic,"),
        ('extends = "../attic"', "no such board"),
        ("extends = 3", "extends is 3; it must be a text"),
        ('extends = "attic"', "shed extends attic extends shed, which never ends"),
        ('extends = "shed"', "no such board"),
        ('extends = "esp32"\nsdkconfig = "quiet"', "sdkconfig is 'quiet'; it must be a list"),
        ('extends = "esp32"\nflash = "4MiB"', "unknown key flash"),
        ('product = "Shed"', "missing key port"),
        (
            'extends = "esp32s3"\nmcu = "esp32"',
            "shed/board.toml: mcu is 'esp32', and that of the board that it extends, esp32s3, is "
            "'esp32s3'. Leave mcu out",
        ),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path, line, words):
    write(tmp_path / "attic", 'extends = "shed"\n')
    assert words in refusal(write(tmp_path / "shed", line))


def test_a_mistake_in_what_is_extended_is_named_with_its_own_file(tmp_path):
    write(tmp_path / "shed", GOOD + "flashsize = 4\n")
    write(tmp_path / "attic", 'extends = "shed"\n')
    with pytest.raises(UsageError, match="shed/board.toml: unknown key flashsize"):
        find("attic", tmp_path)


def test_a_board_with_a_table_of_its_own_has_that(tmp_path):
    folder = write(tmp_path / "b", GOOD + 'partitions = "own.csv"\n')
    with pytest.raises(UsageError, match=r"own\.csv: cannot read the partition table"):
        _ = Board.load(folder).table
    (folder / "own.csv").write_text(find("sim").layout_csv.replace("vfs", "own"))
    board = Board.load(folder)
    assert board.table.find("own").end == board.flash_size
    assert board.layout_file == folder / "own.csv"
    with pytest.raises(UsageError, match="none can be computed for another size"):
        board.with_flash(8 << 20)


def test_what_a_base_says_of_the_layout_is_for_its_own_flash(tmp_path):
    write(tmp_path / "shed", GOOD + 'slot_size = "1MiB"\n')
    same = Board.load(write(tmp_path / "same", 'extends = "shed"\n'))
    assert same.table.slots[0].size == 1 << 20
    large = Board.load(write(tmp_path / "large", 'extends = "shed"\nflash_size = "16MiB"\n'))
    assert large.table == same.with_flash(16 << 20).table
    assert large.table.slots[0].size == 4 << 20
    own = write(tmp_path / "own", 'extends = "shed"\npartitions = "own.csv"\n')
    (own / "own.csv").write_text(find("sim").layout_csv)
    assert Board.load(own).table == find("sim").table
    back = Board.load(write(tmp_path / "back", 'extends = "own"\nfilesystem_size = "1MiB"\n'))
    assert (back.partitions, back.table.find("vfs").size) == (None, 1 << 20)


def test_a_layout_that_cannot_be_is_said_to_be_board_tomls(tmp_path):
    folder = write(tmp_path / "b", GOOD + 'slot_size = "2MiB"\n')
    with pytest.raises(UsageError, match=r"b/board\.toml: two slots of 2,097,152 B"):
        _ = Board.load(folder).table


def test_psram_is_of_a_kind_that_micropython_knows_on_the_chip(tmp_path):
    def load(mcu: str, kind: str) -> Board:
        text = GOOD.replace('"unix"', '"esp32"').replace('mcu = "esp32"', f'mcu = "{mcu}"')
        return Board.load(write(tmp_path / "b", text + f'spiram = "{kind}"\n'))

    assert load("esp32s3", "octal").spiram == "octal"
    assert load("esp32", "quad").spiram == "quad"
    for mcu, kind in (("esp32", "octal"), ("esp32c3", "quad"), ("esp32s2", "fast")):
        with pytest.raises(UsageError, match=f"spiram is '{kind}'; MicroPython knows of {mcu}: "):
            load(mcu, kind)


def test_a_board_is_found_with_another_flash(tmp_path):
    write(tmp_path / "shed", GOOD)
    large = find("shed-16mib", tmp_path)
    assert (large.name, large.flash_size >> 20) == ("shed-16mib", 16)
    assert large.folder == tmp_path / "shed"
    assert large.table.find("vfs").end == large.flash_size
    assert find("shed-4mib", tmp_path) == find("shed", tmp_path)  # what it has anyway
    with pytest.raises(UsageError, match="no layout for 12 MiB of flash; known: 4 MiB, 8 MiB, 16"):
        find("shed-12mib", tmp_path)
    with pytest.raises(UsageError, match="Known boards: shed"):
        find("attic-16mib", tmp_path)


@pytest.mark.parametrize("text", ["16", "16MB", "8192", "1536KiB", "-4MiB"])
def test_a_size_of_flash_is_whole_mebibytes(text):
    assert parse_flash_size("16MiB") == parse_flash_size("16 MiB") == 16 << 20
    with pytest.raises(UsageError, match=f"the flash size is '{text}'; write it as"):
        parse_flash_size(text)

"""Tests the plan of an ESP32 board: what the build script is asked for, without running it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fakeidf import REAL

from mqhost.build.board import Board, find
from mqhost.build.plan import SCRIPT, Plan, Tools, plan
from mqhost.errors import UsageError

TOOLS = Tools("/venv/bin/python", "/venv/mpy-cross", ("mpy-cross 1.28",), 2)
SOURCE = Path("/source/micropython")
TREE = Path("/cache/build/esp32-native-1")


def of(board: Board | None = None, tree: Path = TREE, epoch: int = 1000, **options: str) -> Plan:
    return plan(board or find("esp32"), SOURCE, tree, TOOLS, epoch, **options)


@pytest.mark.parametrize("board", REAL, ids=lambda board: board.name)
def test_the_port_is_made_by_the_build_script(board):
    (step,) = of(board).steps
    assert step.argv[:4] == ("bash", str(SCRIPT), "esp32", "make")
    assert set(step.argv[4:]) == {
        f"--directory={TREE}/micropython/ports/esp32",
        f"BOARD={board.name}",
        f"BOARD_DIR={board.folder}",
        f"BUILD={TREE}/make",
        f"FROZEN_MANIFEST={TREE}/manifest.py",
        f"CMAKE_ARGS=-DMICROPY_LIB_DIR={TREE}/library -DMQBOARD_PARTITIONS={TREE}/partitions.csv "
        f"-DMQBOARD_SDKCONFIG={TREE}/sdkconfig.local"
        + (f" -DMQBOARD_SPIRAM={board.spiram}" if board.spiram else ""),
    }
    assert SCRIPT.is_file()


def test_the_app_image_is_micropython_bin_and_never_firmware_bin():
    assert of().executable == TREE / "make" / "micropython.bin"
    assert of().flash == TREE / "make" / "firmware.bin"


def test_what_is_read_and_what_is_written_is_told():
    work = of()
    assert {SOURCE, find("esp32").folder.parent, SCRIPT, Path("/venv/mpy-cross")} == set(work.reads)
    assert work.caches == (Path("/cache/ccache"), Path("/cache/components"))
    assert work.layout == (SOURCE, "esp32", TREE / "micropython")
    assert of(sdkconfig="CONFIG_X=y\n", layout_csv="nvs").texts == {
        TREE / "partitions.csv": "nvs",
        TREE / "sdkconfig.local": "CONFIG_X=y\n",
    }
    written = [work.executable, work.flash, work.compiled, work.frozen_content, work.library]
    assert all(path is not None and path.is_relative_to(work.tree) for path in written)


def test_the_environment_makes_the_bytes_the_same_everywhere():
    environment = of(epoch=1234, release="v1.28.0").environment
    assert environment["SOURCE_DATE_EPOCH"] == "1234"
    assert environment["MICROPY_GIT_TAG"] == "v1.28.0"
    folders = {TREE: "build", SOURCE: "micropython", find("esp32").folder.parent: "boards"}
    maps = [f"-ffile-prefix-map={folder}={name}" for folder, name in folders.items()]
    assert environment["CFLAGS_EXTRA"] == " ".join(maps)
    assert environment["MICROPY_MPYCROSS"] == "/venv/mpy-cross"
    assert environment["CCACHE_DIR"] == "/cache/ccache"


def test_idf_gets_its_own_variables_and_no_others():
    assert "IDF_*" in of().inherited
    assert not {"*", "PATH", "MQBOARD_*"} & set(of().inherited)


def test_the_build_tree_survives_another_time_but_not_other_options():
    known = of().fingerprint
    assert of(epoch=2000).fingerprint == known
    assert of(settings="CONFIG_X=y").fingerprint != known
    assert of(sdkconfig="CONFIG_X=y").fingerprint != known
    assert of(layout_csv="nvs").fingerprint != known
    assert of(replace(find("esp32"), toolchain="espressif/idf:v9")).fingerprint != known
    assert of(find("esp32c3")).fingerprint != known


def test_a_space_in_a_path_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="MQBOARD_CACHE"):
        of(tree=Path("/my cache/build/x"))
    with pytest.raises(UsageError, match="move the checkout"):
        of(replace(find("esp32"), folder=Path("/my project/boards/esp32")))

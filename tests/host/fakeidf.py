"""Makes an ESP-IDF in a folder that builds no code, but leaves what a real build leaves.

Its idf.py does what ports/esp32/Makefile asks for: it compiles the frozen modules with the real
mpy-cross, as the manifest says, and writes bootloader, partition table, sdkconfig and an app image
of the target's chip. What it was asked for stands in idf-calls.json in the build folder.
"""

import stat
import sys
from pathlib import Path

from mqhost.build.board import boards
from mqhost.paths import FROZEN, ROOT

REAL = [board for board in boards() if board.port == "esp32"]  # the boards that ESP-IDF builds
_PATHS = f"import sys; sys.path[:0] = [{str(ROOT / 'host')!r}, {str(FROZEN)!r}]\n"

_IDF_PY = """
import json, os, re, subprocess
from pathlib import Path
from mqhost.build.board import Board
from mqhost.flash.espimage import build_app_image
from mqhost.flash.partition import PartitionTable

options, arguments = {}, sys.argv[1:]
while arguments:
    word = arguments.pop(0)
    if word == "-D" or word.startswith("-D"):
        name, _, value = (word[2:] or arguments.pop(0)).partition("=")
        options[name] = value
    elif word == "-B":
        build = Path(arguments.pop(0))
assert word == "build", word
port = Path.cwd()
board_dir = Path(options["MICROPY_BOARD_DIR"])
assert (Path(options["MICROPY_LIB_DIR"]) / "README.md").is_file()
local = Path(options["MQBOARD_SDKCONFIG"]).read_text()
build.mkdir(parents=True, exist_ok=True)
(port / "managed_components").mkdir(exist_ok=True)  # as the component manager does
names = ("SOURCE_DATE_EPOCH", "IDF_CCACHE_ENABLE", "IDF_TARGET", "CCACHE_DIR", "MICROPY_GIT_TAG")
record = {"options": options, "local": local, "port": str(port)}
record["environment"] = {name: os.environ.get(name) for name in names}
(build / "idf-calls.json").write_text(json.dumps(record))
print("[1/2] Building C object x.c.obj")
if os.environ.get("IDF_FAKE_FAIL") == "compile":
    print("x.c:1: error: it does not compile")
    sys.exit(2)

sys.path.insert(0, str(port.parents[1] / "tools"))
import manifestfile
manifest = manifestfile.ManifestFile(manifestfile.MODE_FREEZE, {"MPY_LIB_DIR": ""})
manifest.execute(options["MICROPY_FROZEN_MANIFEST"])
for file in manifest.files():
    target = build / "frozen_mpy" / (file.target_path[:-3] + ".mpy")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([os.environ["MICROPY_MPYCROSS"], "-o", target, file.full_path], check=True)

board = Board.load(board_dir)
csv = os.environ.get("IDF_FAKE_CSV", options["MQBOARD_PARTITIONS"])
table = PartitionTable.parse(Path(csv).read_text(), 16 << 20, csv, board.table.offset)
chip = int(os.environ.get("IDF_FAKE_CHIP", board.chip_id))
bootloader = int(os.environ.get("IDF_FAKE_BOOTLOADER", 0x6000))
size = int(os.environ.get("IDF_FAKE_SIZE", 1_200_000))
app = build_app_image(b"\\x55" * size, chip_id=chip, project="", version="", build_time=0,
                      idf_version="v5.5.1")
for name, data in {
    "bootloader/bootloader.bin": b"\\xe9" + bytes(bootloader - 1),
    "partition_table/partition-table.bin": table.to_bytes()[:0xC00],
    "micropython.bin": app,
    ".bin_timestamp": b"",
    "sdkconfig": f'CONFIG_IDF_TARGET="{board.mcu}"\\n'
                 f"CONFIG_BOOTLOADER_OFFSET_IN_FLASH={board.flash_offset:#x}\\n"
                 f"CONFIG_PARTITION_TABLE_OFFSET={table.offset:#x}\\n".encode(),
}.items():
    (build / name).parent.mkdir(parents=True, exist_ok=True)
    (build / name).write_bytes(data)
print("[2/2] Generating micropython.bin")
if len(app) > table.slots[0].size:
    print("Error: app partition is too small for binary micropython.bin")
    sys.exit(2)
"""

_GEN_ESP32PART = """
from mqhost.flash import partition
APP_TYPE = partition.APP

class PartitionTable:
    @staticmethod
    def from_binary(data):
        return [Row(row) for row in partition.PartitionTable.from_bytes(data).partitions]

class Row:
    def __init__(self, row):
        self.name, self.type, self.offset, self.size = row.label, row.type, row.offset, row.size
"""

_VERSION = "set(IDF_VERSION_MAJOR 5)\nset(IDF_VERSION_MINOR 5)\nset(IDF_VERSION_PATCH 1)\n"


def make_idf(folder: Path) -> Path:
    """Make the fake ESP-IDF in `folder`; its programs come on PATH through its export.sh only."""
    _write(folder / "tools/cmake/version.cmake", _VERSION)
    _write(folder / "components/partition_table/gen_esp32part.py", _PATHS + _GEN_ESP32PART)
    _write(folder / "bin/idf.py", f"#!{sys.executable}\n{_PATHS}{_IDF_PY}")
    _write(folder / "bin/python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    _write(folder / "export.sh", f'export PATH="{folder}/bin:$PATH"\necho "IDF is set up"\n')
    return folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if path.parent.name == "bin":
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

"""Tests CI's helpers: which boards a change touches, and what is said of a build."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from proofs import proven_files

from ci import reproduce
from ci.changes import concerned, matrix
from ci.summary import size_table
from mqhost.artifacts.bundle import board_of
from mqhost.build.board import boards
from mqhost.paths import ROOT

BOARDS = [board for board in boards() if board.toolchain]
ALL = [board.name for board in BOARDS]
REPORT = {
    "board": "esp32",
    "version": "1.2.0+4.g1234abcd",
    "micropython": "1.28.0 (v1.28.0)",
    "sha256": "ab" * 32,
    "image_size": 1_300_000,
    "slot": "ota_0",
    "slot_size": 1_572_864,
    "frozen_bytes": 3000,
    "modules": {"main.py": 1000, "mip/__init__.py": 500, "mqboard/mqtt/client.py": 2000},
    "origins": {
        "main.py": "MQBoard",
        "mip/__init__.py": "MicroPython",
        "mqboard/mqtt/client.py": "MQBoard",
    },
    "seconds": 61.4,
}


def names(*paths):
    return [board.name for board in concerned(paths, BOARDS)]


def run(module, *arguments):
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'host'}:{ROOT / 'frozen'}"}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_boards_own_files_touch_that_board_only():
    assert names("boards/esp32/board.toml") == ["esp32"]
    assert names("boards/esp32s3/mpconfigboard.h") == ["esp32s3", "esp32s3-octal"]  # extends it
    assert names("boards/esp32c3/board.json", "boards/esp32/x") == ["esp32", "esp32c3"]


def test_the_simulated_board_is_not_in_the_matrix():
    assert names("boards/sim/board.toml", "manifest/sim.py") in ([], ALL)
    assert "sim" not in ALL and names("boards/sim/modules/machine.py") == []


@pytest.mark.parametrize(
    "path",
    ["frozen/main.py", "host/mqhost/build/build.py", "boards/common/mqboard.cmake"]
    + ["manifest/base.py", "manifest/esp32.py", "pyproject.toml"]
    + [".github/workflows/firmware.yml", "boards/gone/x"]
    + ["docker/build.sh", "invoke", "something/new"],
)
def test_what_is_shared_touches_all_boards(path):
    assert names("docs/ci.md", path) == ALL


@pytest.mark.parametrize("path", ["README.md", "docs/ci.md", "tests/host/x.py", "LICENSE"])
def test_what_is_in_no_firmware_touches_none(path):
    assert names(path) == []


def test_no_board_uses_anothers_folder():
    """Else a change of the one would have to build the other."""
    for board in BOARDS:
        for file in board.folder.iterdir():
            text = file.read_text()
            assert not [name for name in ALL if f"../{name}/" in text], file


def test_all_boards_are_built_without_a_base_or_with_an_unknown_one():
    rows = json.loads(run("ci.changes"))
    assert [row["board"] for row in rows] == ALL
    assert all(":" in row["toolchain"] for row in rows)
    assert json.loads(run("ci.changes", "--base", "0" * 40)) == rows
    assert json.loads(run("ci.changes", "--base", "")) == rows


def test_a_branch_without_changes_builds_nothing():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert matrix("HEAD") == []


def test_the_table_has_the_sizes_and_the_largest_module_first():
    text = size_table(REPORT)
    assert text.startswith("### esp32 1.2.0+4.g1234abcd\n")
    assert "| headroom | 272,864 B (17 %) |" in text
    assert text.index("mqboard/mqtt/client.py") < text.index("main.py")
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert {row.count("|") for row in rows} <= {3}


def test_the_name_of_a_bundle_fits_an_artifact(tmp_path):
    path = tmp_path / "build.json"
    path.write_text(json.dumps(REPORT))
    name = run("ci.summary", "--name", str(path)).strip()
    assert board_of(name) == "esp32" and not set(name) & set('":<>|*?\r\n\\/')
    assert run("ci.summary", str(path)).startswith("### esp32")


def test_two_builds_that_differ_say_where():
    files = proven_files()
    one = reproduce.Built("here", files["app.bin"], files["flash.bin"], files["sbom.cdx.json"])
    assert reproduce.difference([one, one, one]) == ""
    other = proven_files("2.0")
    apart = reproduce.difference([one, replace(one, name="elsewhere", app=other["app.bin"])])
    assert apart.startswith("elsewhere differs from here") and "segment" in apart
    assert "in its flash" in reproduce.difference([one, replace(one, flash=b"x")])
    bill = files["sbom.cdx.json"] + b" "
    assert "in its sbom" in reproduce.difference([one, replace(one, sbom=bill)])

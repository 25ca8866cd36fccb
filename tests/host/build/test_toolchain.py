"""Tests that what a native ESP32 build needs is checked before it starts, with what to do next."""

from pathlib import Path

import pytest

from mqhost.build.board import find
from mqhost.build.toolchain import check_bytecode, check_idf
from mqhost.errors import ToolError, UsageError

BOARD = find("esp32")


@pytest.fixture
def idf(tmp_path, monkeypatch) -> Path:
    """Make an ESP-IDF that has what is looked at."""
    folder = tmp_path / "idf"
    (folder / "tools" / "cmake").mkdir(parents=True)
    version(folder, 5, 5, 1)
    (folder / "export.sh").touch()
    monkeypatch.setenv("IDF_PATH", str(folder))
    return folder


def version(folder: Path, *numbers: int) -> None:
    parts = zip(("MAJOR", "MINOR", "PATCH"), numbers, strict=True)
    text = "".join(f"set(IDF_VERSION_{part} {number})\n" for part, number in parts)
    (folder / "tools" / "cmake" / "version.cmake").write_text(text)


def test_the_right_idf_passes(idf):
    check_idf(BOARD)


def test_without_idf_path_it_names_the_container(monkeypatch):
    monkeypatch.delenv("IDF_PATH", raising=False)
    with pytest.raises(ToolError, match="espressif/idf:v5.5.1.*export.sh"):
        check_idf(BOARD)


def test_a_folder_that_is_no_idf_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("IDF_PATH", str(tmp_path))
    with pytest.raises(ToolError, match=f"{tmp_path}, which is no ESP-IDF"):
        check_idf(BOARD)


def test_another_version_is_refused_with_both_numbers(idf):
    version(idf, 5, 4, 2)
    with pytest.raises(ToolError, match=r"with ESP-IDF v5\.5\.1; IDF_PATH, .*, is v5\.4\.2"):
        check_idf(BOARD)


def test_an_idf_that_cannot_be_entered_is_refused(idf):
    (idf / "export.sh").unlink()
    with pytest.raises(ToolError, match="idf.py is not on PATH"):
        check_idf(BOARD)


def mpy_cross(folder: Path, says: str) -> str:
    program = folder / "mpy-cross"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("says", "fits"),
    [
        ("MicroPython v1.28.0 on 2026-04-06; mpy-cross emitting mpy v6.3", True),
        ("MicroPython v2.0.0 on 2028-04-06; mpy-cross emitting mpy v7.0", False),
        ("no version", False),
    ],
)
def test_bytecode_must_be_of_the_version_the_source_reads(tmp_path, says, fits):
    (tmp_path / "py").mkdir()
    (tmp_path / "py/persistentcode.h").write_text(
        "#define MPY_VERSION 6\n#define MPY_SUB_VERSION 3\n"
    )
    program = mpy_cross(tmp_path, says)
    if fits:
        check_bytecode(tmp_path, program)
    else:
        with pytest.raises(UsageError, match="reads bytecode of version 6"):
            check_bytecode(tmp_path, program)

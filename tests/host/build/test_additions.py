"""Tests what a project adds to the firmware: modules in C, frozen files, a manifest of its own."""

from dataclasses import replace

import pytest

from mqhost.build.additions import _MARKS, Additions, c_sources, cmake_text, frozen, merged
from mqhost.build.board import Board, find
from mqhost.build.build import dry_run
from mqhost.build.freeze import MICROPYTHON, OURS, PROJECT, FrozenFile
from mqhost.build.sdkconfig import composed, own_sources
from mqhost.build.sources.source import Source
from mqhost.errors import BuildError, UsageError
from mqhost.paths import ROOT


def add_module(folder, *marks):
    folder.mkdir(parents=True)
    (folder / "x.c").write_bytes(b"int x; // \xff\r\n")
    for mark in marks or ("micropython.mk", "micropython.cmake"):
        (folder / mark).write_text("# x\n")
    return folder


def test_modules_in_c_are_taken_with_all_that_is_beside_them(tmp_path):
    add_module(tmp_path / "cmodules" / "tally")
    (tmp_path / "cmodules" / "shared.h").write_text("#define X 1\n")
    single = add_module(tmp_path / "lone")
    found = c_sources([tmp_path / "cmodules", single], "esp32")
    assert set(found) == {
        "modules/shared.h",
        *(f"modules/{at}/{name}" for at in ("lone", "tally") for name in (
            "x.c", "micropython.mk", "micropython.cmake"
        )),
    }  # fmt: skip
    assert found["modules/lone/x.c"].encode(errors="surrogateescape") == b"int x; // \xff\r\n"
    text = cmake_text(found)
    assert text.splitlines() == [
        f'list(APPEND USER_C_MODULES "${{CMAKE_CURRENT_LIST_DIR}}/modules/{at}/micropython.cmake")'
        for at in ("lone", "tally")
    ]


@pytest.mark.parametrize("port", ["unix", "esp32"])
def test_a_module_in_c_that_is_none_is_named(tmp_path, port):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty has no module in C"):
        c_sources([tmp_path / "empty"], port)
    other = "micropython.cmake" if port == "unix" else "micropython.mk"
    add_module(tmp_path / "cmodules" / "half", other)
    with pytest.raises(UsageError, match=rf"half has no {_MARKS[port]}, by which .* {port}"):
        c_sources([tmp_path / "cmodules"], port)


def test_two_modules_in_c_of_one_name_are_refused(tmp_path):
    first, second = add_module(tmp_path / "a" / "tally"), add_module(tmp_path / "b" / "tally")
    with pytest.raises(UsageError, match="another module in C that is called tally"):
        c_sources([first, second], "unix")
    ours = add_module(tmp_path / "tlspsk")
    with pytest.raises(UsageError, match="called tlspsk"):
        c_sources([ours], "unix", own_sources(find("sim")))


@pytest.mark.parametrize("port", ["unix", "esp32"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my tally", "cmodules/my tally cannot be built: its name has a space in it"),
        ("tally/src one", "cmodules/tally/src one cannot be built: its name has a space in it"),
        ("tally#2", "cmodules/tally#2 cannot be built: its name has # in it"),
    ],
)
def test_a_folder_that_make_takes_apart_is_refused_by_name(tmp_path, port, name, words):
    modules = tmp_path / "my modules" / "cmodules"
    add_module(modules / "right")
    assert "modules/right/x.c" in c_sources([modules], port), "above it may be anything"
    add_module(modules / name)
    if "/" in name:
        add_module(modules / "tally" / "src")
        for mark in _MARKS.values():
            (modules / "tally" / mark).touch()
    with pytest.raises(UsageError, match=words):
        c_sources([modules], port)
    if "/" not in name:
        with pytest.raises(UsageError, match=words):
            c_sources([modules / name], port)


def test_what_manages_the_board_is_not_replaced(tmp_path):
    ours = [FrozenFile("main.py", b"1"), FrozenFile("mip.py", b"2", origin=MICROPYTHON)]
    added = [FrozenFile("mip.py", b"3", origin=PROJECT), FrozenFile("app.py", b"4", origin=PROJECT)]
    assert [(file.target, file.content) for file in merged(ours, added)] == [
        ("app.py", b"4"),
        ("main.py", b"1"),
        ("mip.py", b"3"),
    ]
    with pytest.raises(UsageError, match="main.py of your project would replace that of MQBoard"):
        merged(ours, [FrozenFile("main.py", b"5", origin=PROJECT)])
    assert len(merged(ours, ours)) == 2, "what is the same replaces nothing"


def named(tmp_path, debian, text):
    """Return what a project's manifest with `text` freezes."""
    (tmp_path / "manifest.py").write_text(text)
    own = Additions(tmp_path, "1.0", manifest=tmp_path / "manifest.py")
    variables = {"MPY_DIR": str(debian), "MPY_LIB_DIR": str(debian / "lib" / "micropython-lib")}
    variables |= {"MQBOARD_DIR": str(ROOT)}
    return frozen(own, variables, Source(debian, "1.25.0", "Debian 1.25.0"))


def test_a_manifest_names_packages_and_files_of_all_three(tmp_path, debian):
    (tmp_path / "pump.py").write_text("x = 1\n")
    text = 'require("mip")\nmodule("pump.py")\ninclude("$(MQBOARD_DIR)/manifest/mqtt5.py")\n'
    origins = {file.target: file.origin for file in named(tmp_path, debian, text)}
    assert origins["mip/__init__.py"] == MICROPYTHON
    assert origins["pump.py"] == PROJECT
    assert origins["mqboard/mqtt5/__init__.py"] == OURS


def test_a_package_that_cannot_be_had_is_a_sentence(tmp_path, debian, checkout):
    said = r"(?s)'nope'.*comes with these .* only: mip, requests\..* --micropython v1\.28\.0;"
    with pytest.raises(BuildError, match=said):
        named(tmp_path, debian, 'require("nope")\n')
    with pytest.raises(BuildError, match=r"(?s)has no package nope\. Is its name right"):
        named(tmp_path, checkout, 'require("nope")\n')


def test_a_package_that_a_library_of_ones_own_lacks_is_told_with_where(tmp_path, debian):
    words = tmp_path / "packages (own)" / "talk" / "words"
    words.mkdir(parents=True)
    (words / "manifest.py").write_text('module("words.py")\n')
    (words / "words.py").touch()
    library = 'add_library("own", "packages (own)")\n'
    assert len(named(tmp_path, debian, library + 'require("words", library="own")\n')) == 1
    with pytest.raises(BuildError) as error:
        named(tmp_path, debian, library + 'require("word", library="own")\n')
    assert f"looked for in {words.parents[1]}, which add_library() names own: a" in str(error.value)
    assert str(error.value).endswith("There is: words.") and "--micropython" not in str(error.value)


def test_a_board_of_the_project_is_compiled_as_what_it_extends(tmp_path):
    (tmp_path / "shed").mkdir()
    (tmp_path / "shed" / "board.toml").write_text('extends = "sim"\n')
    board = Board.load(tmp_path / "shed")
    assert dry_run(board).tree == dry_run(find("sim")).tree
    own = Additions(tmp_path, "1.0", c_modules=(add_module(tmp_path / "tally"),))
    work = dry_run(board, own=own)
    assert work.tree != dry_run(board).tree
    assert work.texts[work.tree / "board" / "modules" / "tally" / "micropython.mk"] == "# x\n"
    assert work.tree / "board" / "modules" / "tlspsk" / "tlspsk.c" in work.texts


def test_an_esp32_board_is_put_together_in_the_build_tree(tmp_path):
    folder = tmp_path / "with space" / "shed"
    folder.mkdir(parents=True)
    (folder / "quiet").write_text("CONFIG_LOG_DEFAULT_LEVEL_NONE=y\n")
    (folder / "board.toml").write_text('extends = "esp32"\nsdkconfig = ["quiet"]\n')
    (folder / "mpconfigboard.h").write_text("// own\n")
    board, base = Board.load(folder), find("esp32")
    own = Additions(tmp_path, "1.0", c_modules=(add_module(tmp_path / "tally"),))
    work = dry_run(board, own=own)
    boards = work.tree / "boards"
    assert f"BOARD_DIR={boards / 'shed'}" in work.steps[0].argv
    assert work.texts[boards / "shed" / "mpconfigboard.h"] == "// own\n"
    cmake = (base.folder / "mpconfigboard.cmake").read_text()
    assert work.texts[boards / "shed" / "mpconfigboard.cmake"] == cmake
    assert boards / "common" / "mqboard.cmake" in work.texts, "which that includes"
    assert "CONFIG_LOG_DEFAULT_LEVEL_NONE=y" in work.texts[work.tree / "sdkconfig.local"]
    (arguments,) = [word for word in work.steps[0].argv if word.startswith("CMAKE_ARGS=")]
    assert f"-DMQBOARD_C_MODULES={work.tree / 'modules.cmake'}" in arguments
    assert "modules/tally/micropython.cmake" in work.texts[work.tree / "modules.cmake"]
    assert not any(path.is_relative_to(tmp_path) for path in work.reads), "nothing to mount"
    (tmp_path / "tally" / "x.c").write_text("int y;\n")
    assert dry_run(board, own=own).fingerprint == work.fingerprint, "make sees that by itself"
    assert not composed(base)


def test_options_of_esp_idf_fit_no_simulated_board(tmp_path):
    board = replace(find("sim"), sdkconfig=(tmp_path / "quiet",))
    with pytest.raises(UsageError, match="so sdkconfig in its board.toml has nothing to set"):
        dry_run(board)

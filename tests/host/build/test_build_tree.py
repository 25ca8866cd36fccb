"""Tests the build tree: an unfinished one is not gone on from, and spaces are refused."""

import shutil
from dataclasses import replace

import pytest

from mqhost.build import build as build_module
from mqhost.build.additions import Additions
from mqhost.build.board import find
from mqhost.build.build import build, dry_run
from mqhost.build.builders.native import mute
from mqhost.build.plan import Plan
from mqhost.build.sdkconfig import own_sources
from mqhost.errors import BuildError, UsageError
from mqhost.paths import BOARDS
from mqhost.progress import silent


class Builder:
    """A builder that leaves an object file, and ends as told."""

    def __init__(self, error=None):
        self.error = error

    def run(self, plan, log, progress=silent, echo=mute):
        self.found = (plan.tree / "object.o").exists()
        (plan.tree / "object.o").touch()
        if self.error:
            raise self.error


@pytest.fixture
def compile_with(tmp_path):
    tree = tmp_path / "tree"
    work = Plan(
        board="x",
        tree=tree,
        steps=(),
        dry_run=(),
        environment={},
        fingerprint="the same",
        executable=tree / "firmware",
        compiled=tree / "make" / "frozen_mpy",
        frozen_content=tree / "make" / "frozen_content.c",
        library=tree / "library",
        texts={tree / "board" / "x.h": "text"},
    )

    def run(builder):
        build_module._compile(work, [], builder, tmp_path / "log", silent, mute)

    run.work = work
    return run


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BuildError("killed")])
def test_what_an_interrupted_build_left_is_not_trusted(compile_with, error):
    with pytest.raises(type(error)):
        compile_with(Builder(error))
    after = Builder()
    compile_with(after)
    assert not after.found


def test_what_a_finished_build_left_is_gone_on_from(compile_with):
    compile_with(Builder())
    after = Builder()
    compile_with(after)
    assert after.found


def test_a_cache_with_spaces_is_refused_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path / "my cache"))
    monkeypatch.setattr(build_module, "choose_builder", lambda *_: pytest.fail("it went on"))
    with pytest.raises(UsageError, match="space in its path: .*my cache.* MQBOARD_CACHE"):
        build(find("sim"), output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_checkouts_go_on_from_one_tree_unless_their_own_c_differs(tmp_path):
    """What is compiled takes a minute, and is the same in all of them."""

    def tree(board):
        return dry_run(board).tree

    sim = find("sim")
    for name in "abc":
        shutil.copytree(sim.folder, tmp_path / name / "sim")
        shutil.copytree(sim.folder.parent / "common", tmp_path / name / "common")
    same, other, third = (tmp_path / name / "sim" for name in "abc")
    (other / "mpconfigvariant.h").write_text("#define MICROPY_PY_MORE (1)\n")
    (same / "board.toml").write_text("# what is made of the program is no matter of compiling\n")
    assert tree(replace(sim, folder=same)) == tree(sim)
    assert tree(replace(sim, folder=other)) != tree(sim)
    (third.parent / "common/tlspsk/micropython.mk").write_text("")
    assert tree(replace(sim, folder=third)) != tree(sim)


def test_a_project_has_one_tree_whatever_it_writes_in_c(tmp_path):
    """A new one would be compiled from the start, and each stays in the cache."""

    def work(name="shed", board="sim"):
        root = tmp_path / name
        folders = (root / "cmodules",) if (root / "cmodules").is_dir() else ()
        own = Additions(root, "1.0", c_modules=folders)
        return dry_run(find(board, root / "boards", BOARDS), own=own)

    for file, text in {
        "shed/cmodules/tally/tally.c": "int x;\n",
        "shed/cmodules/tally/tally.h": "",
        "shed/cmodules/tally/micropython.mk": "",
        "shed/boards/mysim/board.toml": 'extends = "sim"\n',
        "plain/boards/mysim/board.toml": 'extends = "sim"\n',
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    shutil.copytree(tmp_path / "shed", tmp_path / "attic")
    before, module = work(), tmp_path / "shed" / "cmodules" / "tally"
    (module / "tally.c").write_text("int x; /* it counts */\n")
    assert (work().tree, work().fingerprint) == (before.tree, before.fingerprint)
    assert "counts" in work().texts[before.tree / "board/modules/tally/tally.c"]
    (module / "tally.h").write_text("#define MORE (1)\n")
    assert work().tree == before.tree and work().fingerprint != before.fingerprint

    assert len({work(name).tree for name in ("shed", "attic", "plain")}) == 3, "each its own"
    assert work("plain", "mysim").tree == dry_run(find("sim")).tree, "without C, that of all"
    own = tmp_path / "plain" / "boards" / "mysim" / "tally"
    shutil.copytree(module, own)
    with_module = work("plain", "mysim")
    (own / "tally.c").write_text("int y;\n")
    assert work("plain", "mysim").tree == with_module.tree != dry_run(find("sim")).tree


def test_modules_in_c_are_laid_where_make_looks_for_them():
    work = dry_run(find("sim"))
    assert f"USER_C_MODULES={work.tree}/board/modules" in work.steps[0].argv
    assert work.tree / "board/modules/tlspsk/micropython.mk" in work.texts


def test_a_header_is_written_only_where_it_is_another(compile_with):
    """Make would compile all that includes it."""
    compile_with(Builder())
    header = compile_with.work.tree / "board" / "x.h"
    before = header.stat()
    compile_with(Builder())
    assert header.read_text() == "text" and header.stat() == before


def test_all_headers_of_a_board_are_taken_byte_by_byte(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "old.h").write_bytes("// für ISO 8859\n".encode("latin-1"))
    (tmp_path / "partitions.csv").touch()
    found = own_sources(replace(find("sim"), folder=tmp_path))
    modules = [name for name in found if name.startswith("modules/tlspsk/")]
    assert list(found) == ["deep/old.h", *modules], "ours in C, which no board is without"
    assert found["deep/old.h"].encode(errors="surrogateescape") == b"// f\xfcr ISO 8859\n"


def test_the_simulated_boards_own_module_in_c_is_compiled_with_those_of_all_boards():
    found = own_sources(find("sim"))
    assert {"modules/alarm/micropython.mk", "modules/alarm/alarm.c"} <= found.keys()
    assert "modules/tlspsk/micropython.mk" in found


def test_the_simulated_board_has_one_thread_of_micropython():
    """The unix port's threads have no GIL: what one collects, the other may have in its hand."""
    for module in (find("sim").folder / "modules").glob("*.py"):
        assert "start_new_thread" not in module.read_text(), module

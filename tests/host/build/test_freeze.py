"""Tests what is frozen: manifests are read, files are staged, and nothing stale stays behind."""

import os
from pathlib import Path

import pytest

from mqhost.build.freeze import FrozenFile, build_module, read_manifest, replaced, stage
from mqhost.build.sources.source import debian_source
from mqhost.errors import BuildError
from mqhost.paths import ROOT

ONE = FrozenFile("one.py", b"x = 1\n")
TWO = FrozenFile("package/two.py", b"x = 2\n", 3)


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    return {"MPY_DIR": str(debian_source("1.25.0+ds-1"))}


def test_all_of_ours_is_frozen_by_the_sims_manifest_or_by_that_of_mqtt_5(variables):
    frozen = ROOT / "frozen"
    ours = {path.relative_to(frozen).as_posix() for path in frozen.rglob("*.py")}
    apart = {target for target in ours if target.startswith("mqboard/mqtt5/")}
    targets = [file.target for file in read_manifest(ROOT / "manifest" / "sim.py", variables)]
    beside = ("bridge/", "gateway/")  # frozen without their folder
    assert ours & set(targets) == {one for one in ours - apart if not one.startswith(beside)}
    assert "asyncio/core.py" in targets
    assert targets == sorted(targets)
    found = read_manifest(ROOT / "manifest" / "mqtt5.py", variables)
    assert apart and {file.target for file in found} == apart


def test_reading_a_manifest_leaves_the_working_directory_alone(variables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read_manifest(ROOT / "manifest" / "base.py", variables)
    assert Path.cwd() == tmp_path


def test_a_manifest_that_names_a_missing_file_is_an_error(variables, tmp_path):
    (tmp_path / "bad.py").write_text('module("nowhere.py")\n')
    with pytest.raises(BuildError, match=r"bad\.py cannot be read: .*nowhere\.py"):
        read_manifest(tmp_path / "bad.py", variables)


def test_a_module_of_the_same_name_on_top_replaces_ours(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "two.py").write_bytes(b"raise ValueError\n")
    (tmp_path / "three.py").write_bytes(b"")
    files = {file.target: file.content for file in replaced([ONE, TWO], tmp_path)}
    assert files == {
        "one.py": ONE.content,
        "package/two.py": b"raise ValueError\n",
        "three.py": b"",
    }


def test_the_build_module_is_python():
    names: dict[str, object] = {}
    exec(build_module(VERSION='1"\n', SEQ=5).content, names)
    assert (names["VERSION"], names["SEQ"]) == ('1"\n', 5)


def lay(tree: Path, *files: FrozenFile) -> None:
    stage(files, tree, tree / "mpy", tree / "frozen.c")


def test_staging_writes_the_files_and_their_manifest(tmp_path):
    lay(tmp_path, ONE, TWO)
    assert (tmp_path / "frozen" / "package" / "two.py").read_bytes() == TWO.content
    assert 'freeze("frozen", "package/two.py", opt=3)' in (tmp_path / "manifest.py").read_text()


def test_an_unchanged_file_keeps_its_time(tmp_path):
    lay(tmp_path, ONE, TWO)
    os.utime(tmp_path / "frozen" / "one.py", (1, 1))
    lay(tmp_path, ONE, FrozenFile(TWO.target, b"x = 3\n", 3))
    assert (tmp_path / "frozen" / "one.py").stat().st_mtime == 1
    assert (tmp_path / "frozen" / "package" / "two.py").read_bytes() == b"x = 3\n"


def test_a_module_that_is_gone_leaves_nothing_behind(tmp_path):
    lay(tmp_path, ONE, TWO)
    (tmp_path / "mpy" / "package").mkdir(parents=True)
    (tmp_path / "mpy" / "package" / "two.mpy").touch()
    (tmp_path / "frozen.c").touch()
    lay(tmp_path, ONE)
    assert not (tmp_path / "frozen" / "package" / "two.py").exists()
    assert not (tmp_path / "mpy" / "package" / "two.mpy").exists()
    assert not (tmp_path / "frozen.c").exists()

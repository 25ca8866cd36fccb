"""Tests that invoke build --dry-run shows the whole plan, and runs none of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mqhost.build.board import find
from mqhost.build.build import dry_run
from mqhost.cli.tasks.show import plan_text
from mqhost.errors import UsageError
from mqhost.paths import ROOT


def test_everything_that_a_build_depends_on_is_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    work = dry_run(find("esp32"))
    text = plan_text(work)
    for step in work.steps:
        assert all(word in text for word in step.argv)
    assert all(f"{name}=" in text for name in work.environment)
    for path in (*work.reads, *work.caches, work.tree, work.executable, work.flash):
        assert str(path) in text


@pytest.mark.parametrize("board", ["sim", "esp32"])
def test_a_plan_is_told_as_json(monkeypatch, tmp_path, board):
    monkeypatch.setenv("MQBOARD_CACHE", str(tmp_path))
    work = dry_run(find(board))
    record = json.loads(plan_text(work, as_json=True))
    assert record["tree"] == str(work.tree)
    assert record["texts"].keys() == {str(path) for path in work.texts} != set()


def test_a_manifest_that_is_not_there_is_told_before_anything_is_built(tmp_path):
    (tmp_path / "brett").mkdir()
    (tmp_path / "brett" / "board.toml").write_text('extends = "esp32s3"\nmanifest = "m.py"\n')
    with pytest.raises(UsageError, match=r"brett/board\.toml: the manifest .*m\.py is missing"):
        dry_run(find("brett", tmp_path))
    (tmp_path / "brett" / "m.py").touch()
    assert dry_run(find("brett", tmp_path)).board == "brett"


def test_the_task_runs_nothing_and_writes_nothing(tmp_path):
    local = tmp_path / "local"
    local.write_text("CONFIG_LOG_DEFAULT_LEVEL_INFO=y\n")
    cache = tmp_path / "cache"
    argv = [sys.executable, "-m", "invoke", "build", "--board=esp32", "--dry-run"]
    result = subprocess.run(
        [*argv, "--sdkconfig", str(local), "--sdkconfig", str(local)],
        cwd=ROOT,
        env=os.environ | {"MQBOARD_CACHE": str(cache)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stderr
    assert str(Path("ports") / "esp32") in result.stdout
    assert not cache.exists()

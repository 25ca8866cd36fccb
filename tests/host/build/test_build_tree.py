"""Tests the build tree: an unfinished one is not gone on from, and spaces are refused."""

import pytest

from mqhost.build import build as build_module
from mqhost.build.board import find
from mqhost.build.build import build
from mqhost.build.builders.native import mute
from mqhost.build.plan import Plan
from mqhost.errors import BuildError, UsageError
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
    )

    def run(builder):
        build_module._compile(work, [], builder, tmp_path / "log", silent, mute)

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

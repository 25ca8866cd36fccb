"""Tests the native builder: what it logs, what a failure says, and that nothing outlives it."""

import os
from pathlib import Path

import pytest
from waiting import wait_until

from mqhost.build.board import find
from mqhost.build.builders.choose import choose_builder
from mqhost.build.builders.native import NativeBuilder
from mqhost.build.plan import Plan, Step
from mqhost.errors import BuildError, UsageError


def work(tmp_path: Path, *scripts: str, dry_run: str = "true") -> Plan:
    return Plan(
        board="test",
        tree=tmp_path,
        steps=tuple(Step(f"step {n}", ("sh", "-c", text)) for n, text in enumerate(scripts)),
        dry_run=("sh", "-c", dry_run),
        environment={"LC_ALL": "C"},
        fingerprint="",
        executable=tmp_path / "firmware",
        compiled=tmp_path,
        frozen_content=tmp_path,
        library=tmp_path,
    )


def run(plan: Plan, log: Path) -> list[tuple[str, int, int]]:
    heard: list[tuple[str, int, int]] = []
    NativeBuilder().run(plan, log, lambda *report: heard.append(report))
    return heard


def test_everything_said_is_in_the_log(tmp_path):
    log = tmp_path / "made" / "build.log"
    run(work(tmp_path, "echo one", "echo two >&2"), log)
    assert {"one", "two"} <= set(log.read_text().splitlines())


def test_compiled_files_are_counted_against_the_dry_run(tmp_path):
    dry_run = "echo 'echo \"CC a.c\"'; echo 'gcc a.c'; echo 'echo \"CC b.c\"'"
    heard = run(
        work(tmp_path, "echo CC a.c; echo LINK; echo CC b.c", dry_run=dry_run), tmp_path / "l"
    )
    assert heard[0] == ("step 0", 0, 2)
    assert heard[-1] == ("step 0", 2, 2)


def test_a_failure_shows_the_last_lines_and_the_log(tmp_path):
    log = tmp_path / "build.log"
    with pytest.raises(BuildError) as caught:
        run(work(tmp_path, "seq 100; echo no rule to make sense; exit 2", "touch never"), log)
    text = str(caught.value)
    assert "no rule to make sense" in text and str(log) in text and "status 2" in text
    assert "\n5\n" not in text
    assert "touch never" not in log.read_text()


def test_a_missing_program_is_named(tmp_path):
    plan = work(tmp_path)
    with pytest.raises(BuildError, match="no-such-make cannot be run"):
        run(Plan(**vars(plan) | {"steps": (Step("s", ("no-such-make",)),)}), tmp_path / "log")


def test_this_machines_compiler_flags_do_not_leak_in(tmp_path, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-Dleak")
    monkeypatch.setenv("MAKEFLAGS", "--leak")
    log = tmp_path / "log"
    run(work(tmp_path, "env"), log)
    assert "leak" not in log.read_text()


def test_an_interrupted_build_leaves_no_process(tmp_path):
    """Ctrl-C while a step runs: its whole family goes."""

    def interrupt(what: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; echo CC x.c; wait"
    with pytest.raises(KeyboardInterrupt):
        NativeBuilder().run(
            work(tmp_path, script, dry_run="echo CC x.c"), tmp_path / "log", interrupt
        )
    wait_until(lambda: not _runs(int(child.read_text())), otherwise="the child still runs")


def _runs(process: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return (
            os.path.exists(f"/proc/{process}")
            and ") Z " not in Path(f"/proc/{process}/stat").read_text()
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_every_line_is_echoed(tmp_path):
    heard: list[str] = []
    NativeBuilder().run(work(tmp_path, "echo one; echo two"), tmp_path / "log", echo=heard.append)
    assert heard == ["one", "two"]


def test_the_builders_are_chosen_by_name():
    assert choose_builder("native", find("sim")).name == "native"
    with pytest.raises(UsageError, match="Known builders: native, docker"):
        choose_builder("magic", find("sim"))

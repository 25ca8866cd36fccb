"""Tests invoke bench on a real board: the cheap groups, from the command line to the JSON."""

import json
import subprocess
import sys

from mqhost.paths import BUILD, ROOT

FIGURES = ["eval.p50_ms", "eval.p99_ms", "idle.heap_bytes", "idle.frozen_bytes"]
KEYS = {"value", "unit", "runs", "limit", "aim"}


def bench(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "invoke", "bench", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


def test_the_groups_asked_for_are_measured_and_written():
    path = BUILD / "bench.json"
    path.unlink(missing_ok=True)
    result = bench("--quick", "--only", "eval,idle")
    assert result.returncode == 0, result.stderr
    record = json.loads(path.read_text())
    assert list(record) == FIGURES
    for name, figure in record.items():
        assert set(figure) == KEYS
        assert figure["value"] > 0 and figure["runs"] > 0
        assert name in result.stdout


def test_an_unknown_group_is_a_usage_error():
    result = bench("--only", "speed")
    assert result.returncode == 2
    assert "Known groups: build, new, eval, " in result.stderr

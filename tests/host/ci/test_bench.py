"""Tests the benchmark's frame: groups, the table, the JSON; from made-up figures."""

import io
import json
from itertools import product

import pytest
from rich.console import Console

from ci import bench
from ci.bench import Figure, mqtt
from ci.bench.rig import CHANGED_AFTER, CHANGED_MODULE, Rig
from ci.bench.surviving import faults
from mqhost.cli.terminal import tables
from mqhost.errors import UsageError
from mqhost.paths import FROZEN
from mqhost.progress import silent

FIGURES = {
    "eval.p50_ms": Figure(1.25, "ms", 300, 0.5, aim=5),
    "idle.heap_bytes": Figure(45_000, "B", 3, aim=40_000),
    "update.throughput_ratio": Figure(0.712, "of raw", 300, 0.912, aim=0.6, at_least=True),
    "update.bytes": Figure(1_326_487, "B", 5),
}


def printed(tmp_path) -> list[str]:
    output = io.StringIO()
    bench.report(FIGURES, Console(file=output, width=80), tmp_path / "build" / "bench.json")
    return output.getvalue().splitlines()


def row(lines: list[str], name: str) -> str:
    return next(line for line in lines if name in line)


def test_only_chooses_groups_in_their_own_order():
    assert bench.chosen("idle, eval") == ("eval", "idle")


@pytest.mark.parametrize("only", [None, "", " , "])
def test_without_only_all_groups_are_chosen(only):
    assert bench.chosen(only) == tuple(bench.GROUPS)


def test_an_unknown_group_names_the_known_ones():
    with pytest.raises(UsageError, match="'evil'.*build, new, eval, repl, cli, idle, boot, update"):
        bench.chosen("eval,evil")


def test_the_table_shows_values_limits_and_aims(tmp_path):
    line = row(printed(tmp_path), "eval.p50_ms")
    for text in ("1.25", "ms", "300", "0.5", "≤ 5", "ok"):
        assert text in line


def test_a_missed_aim_is_marked(tmp_path):
    lines = printed(tmp_path)
    assert "missed" in row(lines, "idle.heap_bytes")
    assert "missed" not in row(lines, "eval.p50_ms")


def test_some_aims_are_to_be_reached_from_below(tmp_path):
    assert "≥ 0.6" in row(printed(tmp_path), "update.throughput_ratio")
    assert not FIGURES["update.throughput_ratio"].missed
    assert Figure(0.5, "of raw", 5, aim=0.6, at_least=True).missed


def test_a_figure_without_an_aim_is_neither_missed_nor_ok(tmp_path):
    line = row(printed(tmp_path), "update.bytes")
    assert "1,326,487" in line and "ok" not in line and "missed" not in line


def test_a_part_of_the_cases_is_not_judged_unless_it_has_too_much_already():
    assert Figure(20_000, "cases", 1, aim=1_000_000, at_least=True, part=True).verdict == ""
    assert Figure(1_000_000, "cases", 1, aim=1_000_000, at_least=True).verdict == "ok"
    assert Figure(0, "cases", 500, aim=0, part=True).verdict == ""
    assert Figure(0, "cases", 10_000, aim=0).verdict == "ok"
    assert Figure(1, "cases", 500, aim=0, part=True).verdict == "missed"


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_attacks_less_and_says_nothing_of_the_rest(quick, monkeypatch):
    monkeypatch.setattr("ci.bench.surviving.faults._CASES", 20)
    monkeypatch.setattr("ci.bench.surviving.faults._CASES_QUICK", 10)
    with Rig(quick, silent) as rig:
        figures = faults.measure(rig)
    assert figures["cases"].value == (10 if quick else 20)
    assert figures["wrong"].verdict == ("" if quick else "ok")


@pytest.mark.parametrize(("cases", "verdict"), [(50, ""), (100, "ok")])
def test_fuzz_cases_are_judged_only_when_all_were_run(cases, verdict, monkeypatch):
    monkeypatch.setattr(mqtt, "_ALL_CASES", 100)
    monkeypatch.setenv("MQBOARD_FUZZ_CASES", str(cases))
    with Rig(True, silent) as rig:
        figure = mqtt._fuzz(rig)
    assert (figure.value, figure.verdict) == (cases, verdict)


def test_a_quick_run_of_the_client_fits_a_terminal_of_80_columns():
    figures = {"mqtt.fuzz_cases": Figure(20_000, "cases", 1, aim=1e6, at_least=True, part=True)}
    figures |= {"mqtt.kept": Figure(1234, "messages", 1), "mqtt.lost": Figure(1, "messages", 1)}
    figures["mqtt.heap_bytes"] = Figure(12_345, "B", 3, aim=12_000)
    for work, size, secure in product(mqtt._WORK, mqtt._SIZES, (False, True)):
        name = f"mqtt.{mqtt._name(work, size, secure)}"
        figures[f"{name}_per_s"] = Figure(45_678, "1/s", 3, 56_789)
        figures[f"{name}_ratio"] = Figure(0.678, "of raw", 3, 1, aim=0.6, at_least=True)
        if size == "1k":
            figures[f"{name}_peer_ratio"] = Figure(0.678, "of raw", 3, 1)
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=True, color_system=None)
    tables.show(console, bench.listing(figures))
    lines = output.getvalue().splitlines()
    assert len(lines) == len(figures) + 2  # a head and a line under it
    assert max(map(len, lines)) <= 80
    for name in figures:
        assert sum(line.split()[0] == name for line in lines) == 1


def test_the_json_on_standard_output_is_that_of_the_file(tmp_path):
    output = io.StringIO()
    path = tmp_path / "bench.json"
    bench.report(FIGURES, Console(file=output), path, as_json=True)
    assert json.loads(output.getvalue()) == json.loads(path.read_text())


def test_the_json_has_the_figures_by_name(tmp_path):
    printed(tmp_path)
    record = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert list(record) == list(FIGURES)
    assert record["eval.p50_ms"] == {
        "value": 1.25,
        "unit": "ms",
        "runs": 300,
        "limit": 0.5,
        "aim": 5,
    }
    assert record["update.bytes"]["limit"] is None
    assert record["update.bytes"]["aim"] is None


def test_a_median_is_rounded():
    assert bench.median([3.00049, 1, 9]) == 3.0


def test_the_module_that_is_changed_has_the_place_for_the_line():
    assert CHANGED_AFTER in (FROZEN / CHANGED_MODULE).read_text()

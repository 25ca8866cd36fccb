"""Tests that tables are whole in pipes and on narrow terminals, and to be had as JSON."""

import ast
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import ENVIRONMENT
from invoketasks import arguments_of
from proofs import KEY, proven_files
from rich.console import Console
from rich.text import Text

from ci import bench
from ci.bench import Figure
from mqhost.attest.check import check
from mqhost.attest.sbom import read_parts
from mqhost.build import board as boards
from mqhost.build.build import BuildResult, dry_run
from mqhost.build.checking.verify import Finding
from mqhost.build.freeze import Module
from mqhost.cli import main, many
from mqhost.cli.attest import sbom as sbom_command
from mqhost.cli.attest import verify as verify_command
from mqhost.cli.files import looking
from mqhost.cli.fleet import audit as audit_command
from mqhost.cli.fleet import users as users_command
from mqhost.cli.fleet.rollout import asking as rollout_asking
from mqhost.cli.fleet.rollout import plan as rollout_plan
from mqhost.cli.manage import boards as boards_command
from mqhost.cli.manage import config as config_command
from mqhost.cli.manage import crash as crash_command
from mqhost.cli.manage import deploy as deploy_command
from mqhost.cli.manage import info as info_command
from mqhost.cli.manage import log as log_command
from mqhost.cli.manage import modules as modules_command
from mqhost.cli.repl import cancel as cancel_command
from mqhost.cli.tasks import demo, doctor, show
from mqhost.cli.terminal import tables
from mqhost.cli.terminal.tables import Listing
from mqhost.deploy.kept import Kept
from mqhost.errors import SilentBoardError
from mqhost.fleet.many import Answer
from mqhost.fleet.presence import Presence
from mqhost.fleet.rollout.options import Options
from mqhost.fleet.rollout.overview import Overview
from mqhost.fleet.rollout.plan import Plan
from mqhost.fleet.rollout.states import Board, Rollout
from mqhost.fleet.store.accounts import Account
from mqhost.fleet.store.records import Entry as Noted
from mqhost.link.roster import Sighting
from mqhost.manage import modules
from mqhost.manage.configuration import Difference
from mqhost.manage.crash import Crash
from mqhost.manage.loglevels import Levels
from mqhost.paths import ROOT
from mqhost.remote.records import Entry, Volume
from mqhost.repl.underway import Command
from mqhost.update.push import UpdateResult

LONG = "mqtt.pub1_window8_1k_tls_peer_ratio"
RESULT = BuildResult(
    **{name: name for name in ("board", "version", "commit", "builder", "micropython")},
    **{name: ROOT / "build" / "sim" / name for name in ("folder", "app", "flash", "offer")},
    **{name: ROOT / name for name in ("signature", "report", "sbom", "provenance", "log")},
    **{"sha256": "ab", "signing": "with a key", "secure": "none"},
    **{"slot": "ota_0", "flash_offset": 4096},
    **{"image_size": 1000, "slot_size": 4000, "sdkconfig": (), "seconds": 1, "make_seconds": 1},
    modules=(
        Module("mqboard/a_module_with_a_long_name_in_a_package.py", 12, "MQBoard"),
        Module("b.py", 3, "MicroPython"),
    ),
)

LEVELS = Levels.of({"level": "info", "levels": {"board": None, "mqtt": "debug"}})
MODULES = modules.Modules("normal", (modules.Module.of({"name": "blink"}),), {"modules": []})
PRESENCE = Presence.of("farm/pump", Sighting({"state": "online", "board": "esp32"}, None))
ROLLOUT = Rollout(1, "broker:1883", Options.parse(), reason="more failed than may")
PLAN = Plan((Board(LONG, "esp32", "ab", 0, 0, reason="it was rolled back"),))

# What makes each table there is, an example of it, and what prints it: a task, or a command.
LISTINGS = {
    "build_listing": (lambda: show.build_listing(RESULT), "build"),
    "board_listing": (lambda: show.board_listing(boards.boards()), "boards"),
    "verify_listing": (lambda: show.verify_listing([Finding(LONG, "chip", "ok", "so")]), "boards"),
    "doctor_listing": (doctor.doctor_listing, "doctor"),
    "listing": (lambda: bench.listing({LONG: Figure(1, "ms", 3)}), "bench"),
    "_listing": (
        lambda: demo._listing(RESULT, RESULT, UpdateResult("1", "2", "ota_1"), "ota_0"),
        "demo",
    ),
    "presence_listing": (lambda: boards_command.presence_listing([PRESENCE]), "mqboard boards"),
    "plan_listing": (
        lambda: rollout_plan.plan_listing(PLAN, ROLLOUT.options, {LONG: PRESENCE}),
        "mqboard fleet rollout start",
    ),
    "rollouts_listing": (
        lambda: rollout_asking.rollouts_listing([ROLLOUT], {1: {"done": 3}}, {1: None}),
        "mqboard fleet rollout list",
    ),
    "waves_listing": (
        lambda: rollout_asking.waves_listing(Overview.of(ROLLOUT, PLAN.boards)),
        "mqboard fleet rollout status",
    ),
    "states_listing": (
        lambda: rollout_asking.states_listing(PLAN.boards),
        "mqboard fleet rollout status",
    ),
    "files_listing": (
        lambda: looking.files_listing([Entry(LONG, 1, 0, "ab")], True, True),
        "mqboard ls",
    ),
    "volumes_listing": (lambda: looking.volumes_listing([Volume("/" + LONG, 9, 3)]), "mqboard df"),
    "info_listing": (
        lambda: info_command.info_listing({LONG: {"heap_free": 1000, "uptime_s": 61}}),
        "mqboard info",
    ),
    "answers_listing": (
        lambda: many.answers_listing([Answer(LONG, error=SilentBoardError("It is gone."))]),
        "mqboard clock",
    ),
    "running_listing": (
        lambda: cancel_command.running_listing([Command(LONG, "while True: pass", 61)]),
        "mqboard cancel",
    ),
    "values_listing": (
        lambda: config_command.values_listing({"prefix": LONG}),
        "mqboard config get",
    ),
    "differences_listing": (
        lambda: config_command.differences_listing([Difference("prefix", "a", LONG)], "b"),
        "mqboard config diff",
    ),
    "crashes_listing": (
        lambda: crash_command.crashes_listing([Crash.of({"number": 1})], {"crashes": [1]}),
        "mqboard crash",
    ),
    "kept_listing": (
        lambda: deploy_command.kept_listing(
            [Kept(LONG, "pumps", "1.0", 1, "failed", "it died three times")], {"now": 1}
        ),
        "mqboard deploy",
    ),
    "levels_listing": (lambda: log_command.levels_listing(LEVELS), "mqboard log"),
    "verdict_listing": (
        lambda: verify_command.verdict_listing(check(proven_files(), [KEY.public]), LONG),
        "mqboard verify",
    ),
    "sbom_listing": (
        lambda: sbom_command.sbom_listing(*read_parts(proven_files()["sbom.cdx.json"], LONG)),
        "mqboard sbom",
    ),
    "users_listing": (
        lambda: users_command.users_listing([Account(LONG, "look", "hash", 0)], {}),
        "mqboard fleet user list",
    ),
    "audit_listing": (
        lambda: audit_command.audit_listing([Noted(0, LONG, "restart", None, "a", "done: x")]),
        "mqboard fleet audit",
    ),
    "modules_listing": (lambda: modules_command.modules_listing(MODULES), "mqboard modules"),
}


def sources():
    yield ROOT / "tasks.py"
    for folder in ("host", "ci"):
        yield from (ROOT / folder).rglob("*.py")


def imported(tree: ast.AST):
    """Yield the modules that are imported anywhere, and what is imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def makers(tree: ast.AST):
    """Yield the functions that make a Listing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            calls = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
            if any(isinstance(func, ast.Name) and func.id == "Listing" for func in calls):
                yield node.name


def test_there_is_no_other_table():
    found = []
    for path in sources():
        tree = ast.parse(path.read_text())
        found += makers(tree)
        if path.name != "tables.py":
            assert not [name for name in imported(tree) if name.startswith("rich.table")], path
    assert sorted(found) == sorted(LISTINGS)


def json_options(printer):
    """Return the options for JSON of a task, or of a command of mqboard."""
    if printer.startswith("mqboard "):
        command = main.cli
        for word in printer.split()[1:]:
            command = command.commands[word]
        return [option for option in command.params if option.name == "as_json"]
    return [option for option in arguments_of(printer) if "json" in option.names]


@pytest.mark.parametrize("name", LISTINGS)
def test_every_table_can_be_had_as_json(name):
    make, printer = LISTINGS[name]
    (option,) = json_options(printer)
    assert option.help
    assert json.loads(printed(make(), as_json=True)) == json.loads(
        json.dumps(make().record, default=str)
    )
    assert len(json.loads(printed(make(), as_json=True))) > 0


def printed(listing, width=80, terminal=False, as_json=False):
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=terminal, color_system=None)
    tables.show(console, listing, as_json)
    return output.getvalue()


def names(listing):
    """Yield what must stand in one piece: all cells, but only the words of prose."""
    for row in listing.rows:
        for number, cell in enumerate(map(str, row)):
            yield from cell.split() if number in listing.prose or not number else [cell]


@pytest.mark.parametrize("width", [20, 40, 80, 93, 200])
@pytest.mark.parametrize("name", LISTINGS)
def test_names_are_whole_on_every_terminal(name, width):
    listing = LISTINGS[name][0]()
    text = printed(listing, width, terminal=True)
    for word in {word for name in names(listing) for word in name.split()}:
        assert word in text
    # Only a word that is wider than the terminal may be, alone in its line.
    assert all(len(line) <= width or len(line.split()) == 1 for line in text.splitlines())
    if "─" in text:
        for cell in names(listing):
            assert cell in text


@pytest.mark.parametrize("name", LISTINGS)
def test_in_a_pipe_each_row_is_one_line_with_all_its_cells(name):
    listing = LISTINGS[name][0]()
    lines = printed(listing, 20).splitlines()
    for row in listing.rows:
        cells = list(filter(None, map(str, row)))
        assert any(all(cell in line for cell in cells) for line in lines), row


def test_prose_folds_before_names_do():
    listing = Listing(
        ("name", "use"), ([("esp32-spiram", "one two three four five")],), [], prose={1}
    )
    lines = printed(listing, 30, terminal=True).splitlines()
    assert max(map(len, lines)) <= 30
    assert sum("esp32-spiram" in line for line in lines) == 1
    assert sum("one two" in line or "four" in line for line in lines) > 1


@pytest.mark.parametrize("terminal", [True, False])
def test_a_column_of_prose_may_be_empty(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=20)
    name = "a-name-that-is-wider-than-this"
    tables.show(console, Listing(("name", ""), ([(name, "")],), [], prose={1}))
    assert name in console.file.getvalue()


def test_cells_are_neither_markup_nor_control_codes():
    listing = Listing(("a",), ([("[red]x[/]\x1b[2J",), (Text("ok", "green"),)],), [])
    assert "[red]x[/]\ufffd[2J" in printed(listing, terminal=True)


def invoke(*arguments):
    """Run a task in a pipe that calls itself narrow; return its output."""
    result = subprocess.run(
        [sys.executable, "-m", "invoke", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT | {"COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_the_boards_are_whole_in_a_narrow_pipe():
    line = next(line for line in invoke("boards").splitlines() if "esp32-spiram" in line)
    assert "ESP32 with PSRAM / WROVER" in line and "wifi, psram" in line
    (sim,) = [board for board in json.loads(invoke("boards", "--json")) if board["board"] == "sim"]
    assert (sim["mcu"], sim["flash_size"], sim["features"]) == ("esp32", 4 << 20, ["wifi"])


def test_the_doctor_tells_scripts_what_is_missing():
    things = {thing["name"]: thing for thing in json.loads(invoke("doctor", "--json"))}
    assert things["mosquitto"]["there"] is True
    assert things["mosquitto"]["needed_for"] == "the MQTT broker"


def test_keys_are_told_to_scripts_without_the_private_ones(tmp_path, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "XDG_CONFIG_HOME", str(tmp_path))
    text = invoke("keys", "--json")
    record = json.loads(text)
    assert Path(record["made"]).is_relative_to(tmp_path)
    assert record["public"][0]["key"] == record["signs"]
    assert record["public"][0]["use"] == "current"
    assert "PUBLIC KEY" in text and "PRIVATE" not in text


def test_a_plan_is_told_to_scripts():
    text = show.plan_text(dry_run(boards.find("sim")), as_json=True)
    assert json.loads(text)["board"] == "sim"

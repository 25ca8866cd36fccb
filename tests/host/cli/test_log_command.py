"""Tests `mqboard log`: whose lines, which levels, colours, JSON; and the levels of a board."""

import contextlib
import json
import subprocess

import pytest
from commandline import ENVIRONMENT, command_line, on_terminal, publishing
from fakeboard import FakeBoard
from terminal import Terminal

import mqwire

LINES = (
    b"D 1.234 mqtt: small",
    b"I 2026-05-01T12:00:00Z board: hello: you",
    b"printed",
    b"W 2026-05-01T12:00:01Z board: careful",
    b"E 2026-05-01T12:00:02Z task: \xff",
    b"Traceback",
)


def talking(*boards):
    """Have boards say LINES over and over while the block runs."""
    topics = [mqwire.log_topic(board.prefix) for board in boards]
    return publishing(boards[0], *[(topic, line) for line in LINES for topic in topics])


@pytest.fixture
def log(broker, prefix):
    def run(*arguments, prefix=prefix, **options):
        line = command_line(broker.port, prefix, "log", *arguments)
        options = {"env": ENVIRONMENT, "timeout": 30} | options
        return subprocess.run(line, capture_output=True, **options)

    return run


@pytest.fixture
def farm(broker, prefix):
    """Give two boards below `prefix`, of which one is a level deeper."""
    with (
        FakeBoard(broker.port, f"{prefix}/a") as one,
        FakeBoard(broker.port, f"{prefix}/b/c") as two,
        talking(one, two),
    ):
        yield prefix


def test_in_a_pipe_lines_are_byte_for_byte(log, board):
    with talking(board):
        process = log("--lines", "12")
    assert (process.returncode, process.stderr) == (0, b"")
    assert set(process.stdout.splitlines()) == set(LINES)


def test_a_prefix_may_be_given_in_place_of_the_option(log, board):
    with talking(board):
        lines = log(board.prefix, "--lines", "6", prefix="another/one").stdout.splitlines()
    assert set(lines) <= set(LINES)


def test_what_loggers_say_below_a_level_is_left_out(log, board):
    with talking(board):
        lines = set(log("--lines", "12", "--min-level", "warning").stdout.splitlines())
    assert lines == set(LINES[2:])


def test_json_takes_lines_apart(log, board):
    with talking(board):
        process = log("--lines", "12", "--json")
    told = {record["message"]: record for record in map(json.loads, process.stdout.splitlines())}
    assert told["hello: you"] == {
        "prefix": board.prefix,
        "level": "info",
        "time": "2026-05-01T12:00:00Z",
        "logger": "board",
        "message": "hello: you",
    }
    assert told["printed"]["level"] is None and told["printed"]["logger"] is None
    assert "\ufffd" in told


def test_a_pattern_shows_many_boards_and_whose_line_it_is(log, farm):
    one, two = f"{farm}/a: ".encode(), f"{farm}/b/c: ".encode()
    found = set(log(f"{farm}/#", "--lines", "24", prefix=None).stdout.splitlines())
    assert found == {start + line for start in (one, two) for line in LINES}
    assert {
        line.split(b": ")[0] for line in log(f"{farm}/+", "--lines", "9").stdout.splitlines()
    } == {one[:-2]}
    records = map(json.loads, log(f"{farm}/#", "--json", "--lines", "24").stdout.splitlines())
    assert {record["prefix"] for record in records} == {f"{farm}/a", f"{farm}/b/c"}


def test_a_pattern_that_nobody_matches_is_said(log, prefix, broker):
    line = command_line(broker.port, None, "log", f"{prefix}/nobody/+")
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert "No board at" in process.stderr.readline()
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_pattern_is_a_usage_error(log):
    process = log("a/#/b", prefix=None)
    assert process.returncode == 2 and b"esp32/+" in process.stderr


def shown(broker, words, *arguments, prefix=None, group=None, **options):
    """Return what `mqboard log` of quiet boards shows on a terminal, once `words` are there."""
    line = command_line(broker.port, prefix, *(["--group", group] if group else []), "log")
    line += arguments
    with Terminal(line, env=ENVIRONMENT, **options) as terminal:
        return terminal.expect(words).strip()


def test_on_a_terminal_it_is_said_whom_it_follows_though_nobody_says_anything(broker, board):
    assert shown(broker, "debug", prefix=board.prefix) == (
        f"Following the log of {board.prefix}, at 127.0.0.1:{broker.port}. Ctrl-C ends this. It "
        f"logs more after: mqboard --prefix {board.prefix} log --level debug"
    )
    shown(
        broker, f"of {board.prefix}, from error on, at", "--min-level", "error", prefix=board.prefix
    )


def test_of_a_pattern_it_is_said_who_is_there_and_who_is_not(broker, prefix, tmp_path):
    with contextlib.ExitStack() as stack:
        for number in range(6):
            stack.enter_context(FakeBoard(broker.port, f"{prefix}/{number}"))
        known = ", ".join(f"{prefix}/{number}" for number in range(5))
        shown(broker, f"Following the log of {prefix}/+ ({known}, …), at ", f"{prefix}/+")
        (tmp_path / "mqboard.toml").write_text(
            f'[boards.lamp]\nprefix = "{prefix}/1"\n'
            f'[groups.some]\nboards = ["{prefix}/0", "lapm"]\n'
        )
        told = shown(broker, f"lapm ({prefix}/0), at ", cwd=tmp_path, group="some")
    assert told.startswith("No board has announced itself at lapm. Do you mean --to lamp? Waiting")
    assert shown(broker, "(nobody yet)", f"{prefix}/nobody/+").startswith("No board at")


def test_a_terminal_has_colours_and_a_pipe_has_none(broker, board):
    with talking(board):
        line = command_line(broker.port, board.prefix, "log", "--lines", "12")
        shown = on_terminal(line)
        again = on_terminal([*line, "--raw"])
    shown = set(shown.replace(b"\r", b"").splitlines())
    assert b"printed" in shown and b"I 2026-05-01T12:00:00Z board: hello: you" in shown
    assert b"\x1b[33mW 2026-05-01T12:00:01Z board: careful\x1b[0m" in shown
    assert any(each.startswith(b"\x1b[31mE 2026") for each in shown)
    assert b"\x1b" not in again and b"\xff" in again


# The levels of a board.


class Loggers(FakeBoard):
    """A board with loggers, of which mqtt has a level of its own."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.wishes = []
        self.level = "info"
        self.levels = {"mqtt": "debug", "board": None}

    def _do_log(self, ident, body):
        if body:
            wish = json.loads(body)
            self.wishes.append(wish)
            self.level = wish.get("level") or self.level
            self.levels |= wish.get("levels") or {}
        said = {"level": self.level, "levels": self.levels, "dropped": 0}
        self.reply(ident, json.dumps(said).encode())


@pytest.fixture
def loggers(broker, prefix):
    with Loggers(broker.port, prefix) as running:
        yield running


def test_levels_are_shown(log, loggers):
    process = log("--levels", text=True)
    assert (process.returncode, process.stderr) == (0, "")
    rows = [line.split() for line in process.stdout.splitlines()]
    assert ["board", "info"] in rows and ["mqtt", "debug", "its", "own"] in rows
    assert json.loads(log("--levels", "--json").stdout)["levels"] == loggers.levels
    assert not loggers.wishes


def test_levels_are_changed_one_wish_after_the_other(log, loggers):
    words = ("default", "warning", "mqtt=error", "board=default", "new=debug")
    process = log(*(word for each in words for word in ("--level", each)), text=True)
    assert process.returncode == 0
    assert loggers.wishes == [
        {"level": None, "levels": None},
        {"level": "warning"},
        {"levels": {"mqtt": "error"}},
        {"levels": {"board": None}},
        {"levels": {"new": "debug"}},
    ]
    assert "The board has no logger new yet. It has mqtt, board." in process.stderr
    assert "mqtt   error" in process.stdout


def test_a_level_that_is_none_is_a_usage_error(log, loggers):
    process = log("--level", "debug", "--level", "loud", text=True)
    assert process.returncode == 2 and "debug, info, warning, error, default" in process.stderr
    assert not loggers.wishes


def test_levels_are_those_of_one_board(log, loggers):
    process = log("test/#", "--level", "debug", text=True)
    assert process.returncode == 2 and "--prefix" in process.stderr


def test_older_firmware_knows_no_levels(log, board):
    process = log("--levels", text=True)
    assert process.returncode == 1 and "not supported" in process.stderr

"""Tests `mqboard fleet`: which boards are chosen, what each gets, what is told of how many."""

import json
import signal
import subprocess
import threading
from contextlib import ExitStack

import pytest
from commandline import ENVIRONMENT, command_line, here
from fakeboard import FakeBoard
from waiting import wait_until

from mqhost.cli.fleet import changing as fleet_changing
from mqhost.cli.fleet.changing import Limit
from mqhost.cli.terminal.questions import Questions
from mqhost.sim.broker import Broker


@pytest.fixture(scope="module")
def broker():
    """Run a broker of our own: what others have left at theirs matches patterns, too."""
    with Broker() as running:
        yield running


@pytest.fixture
def farm(broker):
    """Run four boards: farm/a, farm/b in safe mode, farm/c that has no power, barn/d."""
    with ExitStack() as stack:
        names = ("farm/a", "farm/b", "farm/c", "barn/d")
        boards = [stack.enter_context(FakeBoard(broker.port, name)) for name in names]
        boards[1].facts["mode"] = "safe"
        boards[1].announce()
        boards[2].power_off()
        yield boards


@pytest.fixture
def fleet(farm, broker, capsys, tmp_path, monkeypatch):
    """Give fleet(*arguments, before=…) -> how it ends."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, before=(), **environment):
        line = command_line(broker.port, None, *before, "fleet", *arguments)
        return here(capsys, line, **environment)

    return run


@pytest.fixture
def answering(monkeypatch):
    """Give a function that lets somebody be there, whose answer is known; returns the questions."""

    def answer(text):
        asked = []
        somebody = Questions(lambda question: asked.append(question) or text, None)
        monkeypatch.setattr(fleet_changing.Questions, "at_terminal", lambda: somebody)
        return asked

    return answer


def first_words(text):
    """Return the first words of the lines of a table, without its head."""
    lines = [line.split() for line in text.splitlines()]
    return [line[0] for line in lines if line and "/" in line[0] and not line[0].startswith("[")]


def changes(farm):
    """Return the prefixes of the boards that have taken a configuration."""
    return [board.prefix for board in farm if board.last]


def test_the_list_has_those_who_are_chosen_and_how_many(fleet, tmp_path):
    (tmp_path / "mqboard.toml").write_text('[groups.some]\nboards = ["barn/+", "farm/a"]\n')
    ended = fleet("list")
    assert ended.returncode == 0 and not ended.stderr
    assert first_words(ended.stdout) == ["barn/d", "farm/a", "farm/b", "farm/c"]
    assert ended.stdout.splitlines()[-1] == "4 boards: 3 online, 1 offline."

    def listed(*arguments, **more):
        return first_words(fleet("list", *arguments, **more).stdout)

    assert listed("farm/a", "barn/#") == ["barn/d", "farm/a"]
    assert listed("--group", "some") == ["barn/d", "farm/a"]
    assert listed("--group", "some", "farm/b") == ["barn/d", "farm/a", "farm/b"]
    assert listed("farm/+", "--where", "mode==safe or state==offline") == ["farm/b", "farm/c"]
    assert listed("--where", "mode==safe") == ["farm/b"]
    assert listed(before=("--prefix", "farm/+")) == ["farm/a", "farm/b", "farm/c"]
    assert listed(before=("--prefix", "farm/b")) == ["farm/b"]
    assert listed("barn/+", before=("--prefix", "farm/b")) == ["barn/d"]
    assert listed(MQBOARD_FLEET_LIST_WHERE="mode==safe") == ["farm/b"]


def test_the_board_of_the_settings_is_meant_where_nothing_else_is_said(fleet, tmp_path):
    (tmp_path / "mqboard.toml").write_text(
        'prefix = "farm/a"\nid = "a1b2"\n[groups.some]\nboards = ["farm/b"]\n'
    )
    assert first_words(fleet("list", "farm/+").stdout) == ["farm/a", "farm/b", "farm/c"]
    assert first_words(fleet("list", "farm/b", "barn/d").stdout) == ["barn/d", "farm/b"]
    assert first_words(fleet("list", "--group", "some").stdout) == ["farm/b"]
    ended = fleet("list", "farm/b", before=("--id", "c3d4"))
    assert ended.returncode == 2 and "An id is that of one board" in ended.stderr
    ended = fleet("list", "farm/b", before=("--group", "some"))
    assert ended.returncode == 2 and "There is prefix and group in the options" in ended.stderr
    (tmp_path / "mqboard.toml").write_text('prefix = "farm/a"\n')
    assert first_words(fleet("list").stdout) == ["farm/a"]


def test_the_list_is_json_as_that_of_boards(fleet):
    ended = fleet("list", "farm/+", "--json")
    assert [board["prefix"] for board in json.loads(ended.stdout)] == ["farm/a", "farm/b", "farm/c"]


def test_who_never_was_there_is_said_to_be_absent(fleet):
    ended = fleet("list", "farm/a", "farm/x")
    assert (ended.returncode, first_words(ended.stdout)) == (4, ["farm/a"])
    assert ended.stderr.startswith("No board at farm/x has announced itself. Do you mean farm/")
    ended = fleet("list", "farm")
    assert ended.stderr.endswith("has announced itself. Do you mean farm/#, all below it?\n")


def test_a_condition_that_is_none_is_an_error_of_its_option(fleet):
    ended = fleet("list", "--where", "mode=safe")
    assert ended.returncode == 2
    assert "Invalid value for '--where': column 5 of 'mode=safe': expected ==" in ended.stderr
    ended = fleet("list", "--where", "moed==safe")
    assert ended.returncode == 2 and "Did you mean mode" in ended.stderr
    ended = fleet("list", "--where", "mode==odd")
    assert ended.returncode == 4 and "for which 'mode==odd' holds, among 4" in ended.stderr


def test_info_and_eval_are_those_of_many_boards(fleet, farm):
    ended = fleet("info", "farm/+")
    assert (ended.returncode, first_words(ended.stdout)) == (4, ["farm/a", "farm/b", "farm/c"])
    assert ended.stderr == "3 boards: 2 ok, 0 failed, 1 offline.\n"
    ended = fleet("eval", "45+876", "--where", "state==online")
    assert ended.returncode == 0 and ended.stdout.count("921") == 3
    assert ended.stdout.splitlines()[-1] == "3 boards: 3 ok, 0 failed, 0 offline."
    ended = fleet("eval", "1/0", "farm/a", "barn/d", "--json")
    assert ended.returncode == 1 and ended.stderr == "2 boards: 0 ok, 2 failed, 0 offline.\n"
    record = json.loads(ended.stdout)
    assert list(record) == ["barn/d", "farm/a"] and record["farm/a"]["exit_code"] == 1


def test_so_many_at_a_time(fleet, farm):
    asked, met = threading.Semaphore(0), []

    def answering(board):
        def answer(command, ident, body):
            asked.release()
            met.append(asked.acquire() and asked.acquire(timeout=0.2))  # another one's
            board._do_info(ident, body)
            return []

        return answer

    for board in farm:
        board.answer = answering(board)
    assert fleet("info", "--where", "state==online", "--parallel", "1").returncode == 0
    assert met == [False] * 3


@pytest.mark.parametrize(
    "words", [("eval", "1"), ("config", "set", "ntp=n", "--yes"), ("deploy", ".", "--yes")]
)
def test_what_runs_code_or_changes_wants_to_know_which_boards(fleet, farm, words, tmp_path):
    (tmp_path / "main.py").write_text("")
    ended = fleet(*words)
    assert ended.returncode == 2 and "Which boards? Give patterns" in ended.stderr
    assert not any(board.requests for board in farm)


def test_keys_are_set_and_each_board_is_told_of(fleet, farm):
    ended = fleet("config", "set", "ntp=10.0.0.1", "farm/+", "log.level=debug", "barn/d", "--yes")
    assert ended.returncode == 4
    assert first_words(ended.stdout) == ["barn/d", "farm/a", "farm/b", "farm/c"]
    assert "3 boards will get a configuration with ntp=10.0.0.1, log.level=debug." in ended.stdout
    told = [line.partition("] ")[2] for line in ended.stdout.splitlines() if line.startswith("[")]
    assert sorted(line.partition(" runs")[0] for line in told) == [
        "barn/d",
        "farm/a",
        "farm/b",
    ]
    assert all(line.endswith(" s: ntp, log.level.") for line in told)
    assert ended.stderr == "4 boards: 3 ok, 0 failed, 1 offline.\n"
    assert changes(farm) == ["farm/a", "farm/b", "barn/d"]
    for board in (farm[0], farm[1], farm[3]):
        assert board.config["ntp"] == "10.0.0.1" and board.config["prefix"] == board.prefix
        assert board.config["broker"]["password"] == "s3cret"
    ended = fleet("config", "set", "ntp=10.0.0.1", "farm/a", "--yes")
    assert "[1/1] farm/a has it so already." in ended.stdout
    assert ended.stdout.splitlines()[-1] == "1 board: 1 ok, 0 failed, 0 offline."


def test_keys_are_removed_where_they_are(fleet, farm):
    farm[0].config |= {"ntp": "10.0.0.1", "log": {"level": "debug"}}
    words = ("config", "unset", "log.level", "farm/a", "ntp", "farm/b", "--yes")
    ended = fleet(*words)
    assert ended.returncode == 0, ended.stderr
    assert "2 boards will get a configuration without log.level, ntp." in ended.stdout
    assert "ntp" not in farm[0].config and "log" not in farm[0].config
    assert "farm/b has it so already." in ended.stdout and farm[1].last is None
    for key, what in (("prefix", "is each board's own"), ("log.levle", "Did you mean log.level?")):
        ended = fleet("config", "unset", key, "farm/a", "--yes")
        assert ended.returncode == 2 and what in ended.stderr
    ended = fleet("config", "unset", "farm/a", "--yes")
    assert ended.returncode == 2 and "Unset what?" in ended.stderr


def test_a_value_that_no_board_takes_is_refused_before_anything_is_asked(fleet, farm, tmp_path):
    file = tmp_path / "common.json"
    file.write_text('{"log": {"level": "loud"}}')
    for words in (("set", "log.level=loud"), ("push", str(file))):
        ended = fleet("config", *words, "farm/a")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "log.level is 'loud'; it must be one of debug" in ended.stderr
    ended = fleet("config", "set", "networks.0.ssid=other", "farm/a", "--yes")
    assert ended.returncode == 0 and farm[0].config["networks"][0]["ssid"] == "other"
    assert changes(farm) == ["farm/a"]


def test_a_file_is_laid_over_each_and_json_tells_what_changed(fleet, farm, tmp_path):
    farm[0].config["hostname"] = "own"
    shared = {"prefix": "x/y", "hostname": "x", "broker": {"host": "other"}, "nttp": 1, "ntp": "n"}
    (tmp_path / "common.json").write_text(json.dumps(shared))
    ended = fleet("config", "push", "common.json", "farm/a", "farm/b", "--json", "--yes")
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    assert [change["key"] for change in record["farm/a"]["changed"]] == [
        "broker.host",
        "ntp",
        "nttp",
    ]
    assert "nttp is not known; a board ignores it. Did you mean ntp?" in ended.stderr
    assert "Each board keeps its own prefix, hostname, whatever common.json says." in ended.stderr
    assert farm[0].config["hostname"] == "own" and "hostname" not in farm[1].config
    assert farm[1].config["broker"] == farm[3].config["broker"] | {"host": "other"}
    assert changes(farm) == ["farm/a", "farm/b"]


def test_the_configuration_may_come_from_standard_input(fleet, farm, monkeypatch):
    monkeypatch.setattr("mqhost.cli.edge.Edge._standard_input", '{"ntp": "n"}')
    assert fleet("config", "push", "-", "farm/a", "--yes").returncode == 0
    assert farm[0].config["ntp"] == "n"


def test_what_boards_do_not_share_is_refused(fleet, farm, tmp_path):
    ended = fleet("config", "set", "prefix=a/b", "farm/+", "--yes")
    assert ended.returncode == 2 and "prefix is each board's own. Change it on one:" in ended.stderr
    ended = fleet("config", "set", "farm/+", "--yes")
    assert ended.returncode == 2 and "Set what? Give KEY=VALUE" in ended.stderr
    (tmp_path / "own.json").write_text('{"prefix": "a/b"}')
    ended = fleet("config", "push", "own.json", "farm/+", "--yes")
    assert ended.returncode == 2 and "own.json has nothing in it that boards share" in ended.stderr
    assert not changes(farm)


def test_a_secret_of_all_is_no_part_of_the_line(fleet, farm):
    words = ("config", "set", "networks.0.password", "farm/a", "farm/b", "--yes")
    ended = fleet(*words, MQBOARD_WIFI_PASSWORD="hush hush")
    assert ended.returncode == 0 and "hush" not in ended.stdout
    assert farm[1].config["networks"] == [{"ssid": "n", "password": "hush hush"}]


def test_nothing_is_changed_before_somebody_has_agreed(fleet, farm, answering):
    words = ("config", "set", "ntp=n", "farm/+")
    ended = fleet(*words)
    said = "Nothing was changed. In a script, --yes says that it is wanted.\n"
    assert (ended.returncode, ended.stderr) == (2, said)
    asked = answering("no")
    ended = fleet(*words)
    assert (ended.returncode, ended.stderr) == (2, said)
    assert first_words(ended.stdout) == ["farm/a", "farm/b", "farm/c"]
    assert asked == ["Change these 2? [y/N] "]
    assert not changes(farm)
    answering("y")
    assert fleet(*words, "--where", "state==online").returncode == 0
    assert changes(farm) == ["farm/a", "farm/b"]


def test_boards_that_are_all_away_are_not_asked_about(fleet, farm):
    ended = fleet("config", "set", "ntp=n", "farm/c", "farm/x")
    assert ended.returncode == 4
    assert ended.stderr == "2 boards, and none is online: nothing was changed.\n"
    said = "farm/x has never announced itself at this broker. Do you mean farm/"
    assert said in ended.stdout


def test_a_board_that_fails_stops_no_other_one(fleet, farm):
    farm[0].refused = "it is busy"
    words = ("config", "set", "ntp=n", "farm/a", "farm/b", "--parallel", "1", "--yes")
    ended = fleet(*words, "--json")
    assert ended.returncode == 5
    assert "[1/2] failed: farm/a keeps its configuration: it is busy." in ended.stderr
    assert ended.stderr.endswith("2 boards: 1 ok, 1 failed, 0 offline.\n")
    record = json.loads(ended.stdout)
    assert record["farm/a"]["exit_code"] == 5 and record["farm/b"]["confirmed"] is True


def test_with_a_limit_no_other_board_is_begun_with(fleet, farm):
    farm[0].refused = "it is busy"
    words = ("config", "set", "ntp=n", "farm/a", "farm/b", "--parallel", "1", "--yes")
    ended = fleet(*words, "--max-failed", "0")
    assert ended.returncode == 5 and not changes(farm)
    assert ended.stderr == "2 boards: 0 ok, 1 failed, 0 offline, 1 not tried.\n"
    assert fleet(*words, "--max-failed", "50%").returncode == 5
    assert changes(farm) == ["farm/b"]


def test_ctrl_c_says_which_boards_are_in_the_middle_of_it(farm, broker, tmp_path):
    for board in farm[:2]:
        board.silent.add("config")
    words = ("-T", "60", "fleet", "config", "set", "ntp=n", "farm/+", "--yes")
    line = command_line(broker.port, None, *words)
    process = subprocess.Popen(line, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: all(board.requests for board in farm[:2]))
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=20)
        assert process.returncode == 130
        assert told.decode().splitlines()[-1].startswith("Under way: farm/a, farm/b. What a board")
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("text", "tried", "most"), [("0", 5, 0), ("3", 5, 3), ("2%", 10, 0), ("2%", 100, 2)]
)
def test_a_limit_is_a_number_or_a_share(text, tried, most):
    limit = Limit.parse(text)
    assert not limit.reached(most, tried) and limit.reached(most + 1, tried)


@pytest.mark.parametrize("text", ["", "%", "x", "-1", "101%", "nan%", "1.5", "inf%", "9" * 5000])
def test_what_is_no_limit_is_an_error(fleet, text):
    ended = fleet("config", "set", "ntp=n", "farm/a", "--yes", f"--max-failed={text}")
    assert ended.returncode == 2 and "is no number of boards, as 3, or 2%" in ended.stderr

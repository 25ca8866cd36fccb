"""Tests the command line: what it prints, where, and how it exits."""

import io
import json
import signal
import subprocess
import threading

import click
import pytest
from commandline import APP, ENVIRONMENT, command_line, here, logging, write_app
from fakeboard import FakeBoard, executed
from rich.console import Console

import mqwire
from mqhost.cli import facts as facts_
from mqhost.cli.main import cli
from mqhost.cli.update import pushing
from mqhost.cli.update.pushing import app_path, run_ota
from mqhost.errors import UsageError
from mqhost.sim.broker import free_port
from mqwire import update as wire


@pytest.fixture
def mqboard(broker, prefix, tmp_path, capsys, monkeypatch):
    """Give a function that runs the command line here and returns the finished process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, port=None, prefix=prefix, environment=None):
        line = command_line(port or broker.port, prefix, *arguments)
        return here(capsys, line, **(environment or {}))

    return run


@pytest.fixture
def spawn(broker, prefix, tmp_path):
    """Give the same with a process of its own."""

    def run(*arguments, text=True, **options):
        line = command_line(broker.port, prefix, *arguments)
        options |= {"cwd": tmp_path, "env": ENVIRONMENT, "timeout": 60}
        return subprocess.run(line, capture_output=True, text=text, **options)

    return run


@pytest.fixture
def built(tmp_path):
    """Make an app.bin with its image.json."""
    return write_app(tmp_path)


def all_commands(command, path="mqboard"):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from all_commands(child, f"{path} {name}")


def test_every_command_and_option_has_help():
    for path, command in all_commands(cli):
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.name}"


def test_a_build_is_told_as_a_moment_and_keys_as_a_list(capsys):
    facts = {"built": 0, "keys": ["a1", "b2"], "zeta": []}
    facts_.print_facts(Console(), facts, as_json=False)
    lines = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [["built", "1970-01-01 00:00:00 UTC"], ["keys", "a1, b2"], ["zeta", "[]"]]


def test_lists_of_commands_cut_no_sentence(mqboard):
    for words in ([], ["config"], ["modules"], ["crash"]):
        assert "..." not in mqboard(*words, "--help").stdout.partition("Commands:")[2]


def assert_fails(process, code, *words):
    """Check the exit code, the words on stderr, and that there is no Python traceback."""
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
    assert len(process.stderr.strip().splitlines()) <= 4
    for word in words:
        assert word in process.stderr


# eval


@pytest.mark.parametrize(
    ("code", "answer"),
    [("45+876", "921\n"), ("print('a')", "a\n"), ("pass", ""), ("'[red]ä'", "'[red]ä'\n")],
)
def test_eval_prints_the_answer(mqboard, board, code, answer):
    process = mqboard("eval", code)
    assert (process.returncode, process.stdout, process.stderr) == (0, answer, "")


@pytest.mark.parametrize("words", [("eval", "\udcff"), ("--username", "\udcff", "info")])
def test_an_argument_that_is_no_utf8_is_named(mqboard, words):
    process = mqboard(*words)
    assert (process.returncode, process.stdout) == (2, "")
    assert "U+DCFF in it is half a character" in process.stderr


def test_eval_prints_bytes_as_they_are(spawn, board):
    board.answer = lambda command, ident, body: executed(board, ident, b"\xff\x00\r\n", {})
    assert spawn("eval", "x", text=False).stdout == b"\xff\x00\r\n"


def test_a_long_answer_arrives_whole(mqboard, board):
    assert mqboard("eval", "'x'*20000").stdout == repr("x" * 20000) + "\n"


def test_code_can_come_from_standard_input(spawn, board):
    assert spawn("eval", "-", input="a = 5\nprint(a)\n").stdout == "5\n"


def test_a_traceback_goes_to_stderr_with_exit_code_1(spawn, board):
    process = spawn("eval", "1/0")
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.count("ZeroDivisionError") == 1
    assert "mqhost" not in process.stderr


# info, status, log


def test_info_prints_the_facts(mqboard, board):
    process = mqboard("info")
    assert process.returncode == 0
    lines = dict(line.split(maxsplit=1) for line in process.stdout.splitlines())
    assert lines["version"] == "0.1.0"
    assert "free heap     100,000 B" in process.stdout


def test_what_info_says_stands_in_one_column(mqboard, board):
    board.facts |= {key: 3 for key in facts_._FACTS if key not in board.facts}
    board.facts["confirm_s"] = 60  # of the next update: this one is confirmed
    for line in mqboard("info").stdout.splitlines():
        assert line[12:14].endswith(" ") and line[14] != " ", line
    assert "given up      3 messages" in mqboard("info").stdout
    assert "confirm limit 60 s" in mqboard("info").stdout


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            {"time": 2_000_000_000, "trusted": True, "source": "ntp"},
            "2033-05-18 03:33:20 UTC, trusted (ntp)",
        ),
        (
            {"time": 0, "trusted": False, "source": "build time"},
            "00:00:00 UTC, not trusted (build time)",
        ),
        ({"time": 1e300}, "no time, not trusted (None)"),
        ({"time": "x", "trusted": "yes"}, "no time, not trusted"),
        ({}, "no time"),
    ],
)
def test_info_says_what_time_it_is_and_whether_to_trust_it(mqboard, board, said, shown):
    board.facts["clock"] = said
    assert f"clock         {shown}" in mqboard("info").stdout.replace("1970-01-01 ", "")


def test_info_as_json_is_json(mqboard, board):
    assert json.loads(mqboard("info", "--json").stdout)["board"] == "sim"


def test_status_works_when_the_board_is_away(mqboard, board):
    assert json.loads(mqboard("status", "--json").stdout) == board.status()
    board.power_off()
    process = mqboard("status")
    assert_fails(process, 4, "is offline")
    assert process.stdout.split() == ["state", "offline"]


def test_status_of_nobody_says_so(mqboard):
    assert_fails(mqboard("-T", "0.3", "status"), 4, "Is the prefix right")


def test_the_log_is_followed(mqboard, board):
    stop = threading.Event()

    def talk():
        number = 0
        while not stop.wait(0.05):
            number += 1
            board._client.publish(mqwire.log_topic(board.prefix), f"line [b]{number}\n")

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        process = mqboard("log", "--lines", "3")
    finally:
        stop.set()
        talker.join()
    assert process.returncode == 0
    assert len(process.stdout.splitlines()) == 3
    assert all(line.startswith("line [b]") for line in process.stdout.splitlines())


def test_the_log_of_a_board_that_is_not_there_is_waited_for_and_that_is_said(mqboard, board):
    with logging(board, "line\n"):
        assert mqboard("log", "--lines", "1").stderr == ""
    nobody = f"{board.prefix}/nobody"
    with logging(board, "line\n", nobody):
        process = mqboard("log", "--lines", "1", prefix=nobody)
    assert process.stdout == "line\n"
    assert process.stderr.startswith(f"No board has announced itself at {nobody}. ")
    assert "Is the prefix right" in process.stderr


# Errors


def test_no_prefix_is_a_usage_error(mqboard):
    assert_fails(mqboard("info", prefix=None), 2, "Which board?", "--prefix")


def test_an_unknown_command_is_a_usage_error(mqboard):
    assert mqboard("nonsense").returncode == 2


def test_no_broker_is_exit_code_3(mqboard):
    assert_fails(mqboard("info", port=free_port()), 3, "Nothing listens on 127.0.0.1")


@pytest.mark.parametrize("command", [("eval", "1"), ("info",), ("status",), ("ota",)])
def test_a_wrong_prefix_is_exit_code_4(mqboard, board, command):
    process = mqboard("-T", "0.3", *command, prefix=f"{board.prefix}/typo")
    assert_fails(process, 4, f"{board.prefix}/typo", "Is the prefix right")
    assert process.stdout == ""


def test_settings_come_from_the_environment_and_the_file(mqboard, board, tmp_path):
    environment = {"MQBOARD_PREFIX": board.prefix}
    assert mqboard("eval", "1", prefix=None, environment=environment).stdout == "1\n"
    (tmp_path / "mqboard.toml").write_text(f'prefix = "{board.prefix}"\n')
    assert mqboard("eval", "2", prefix=None).stdout == "2\n"


def test_verbose_shows_the_traffic_on_stderr(spawn, board):
    process = spawn("-v", "eval", "1")
    assert process.stdout == "1\n"
    assert "mqb/cmd/exec" in process.stderr


def test_output_that_nobody_reads_ends_quietly(broker, board):
    line = command_line(broker.port, board.prefix, "eval", "'x'*200000")
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 1
    process.stderr.close()


# ota


def test_ota_pushes_and_reports(mqboard, board, built):
    process = mqboard("ota", "--image", str(built))
    assert process.returncode == 0, process.stderr
    assert board.image == APP
    last = process.stdout.splitlines()[-1]
    assert "0.1.0 → 0.2.0, confirmed in slot ota_1" in last
    assert "Sending blocks" in process.stdout


def test_ota_of_what_runs_says_so(mqboard, board, built):
    board.image = APP
    process = mqboard("ota", "--image", str(built))
    assert process.returncode == 0
    assert "already runs this image (0.2.0). Nothing was sent." in process.stdout


def test_ota_names_the_board_by_what_the_device_says(settings, board, built, monkeypatch):
    monkeypatch.setattr(pushing, "BUILD", built.parent / "build")
    (built.parent / "build").mkdir()
    folder = built.parent / "build" / "sim"
    folder.mkdir()
    for name in ("app.bin", "image.json"):
        (built.parent / name).rename(folder / name)
    run_ota(settings, None, None, Console(file=io.StringIO()))
    assert board.image == APP


@pytest.mark.parametrize("name", ["../sim", "", "a/b", None, 5, ".", "a b", "-x"])
def test_a_name_that_is_no_board_makes_no_path(name):
    with pytest.raises(UsageError, match="no board's name"):
        app_path(name)


def test_ota_of_the_wrong_board_is_a_usage_error(mqboard, board, built):
    board.facts["board"] = "other"
    assert_fails(mqboard("ota", "--image", str(built)), 2, "is board other", "Nothing was sent")
    assert_fails(mqboard("ota", "--image", str(built), "--force"), 5, "for another board")


def test_ota_of_a_truncated_image_is_a_usage_error(mqboard, board, built):
    built.write_bytes(APP[:-1])
    assert_fails(mqboard("ota", "--image", str(built)), 2, str(len(APP)), str(len(APP) - 1))
    assert not board.block_messages


def test_a_rollback_is_exit_code_1(mqboard, board, built):
    board.outcome = "rolled back"
    assert_fails(mqboard("ota", "--image", str(built)), 1, "Rolled back", "it crashed")


def test_what_was_rolled_back_is_pushed_again_only_when_that_is_asked_for(mqboard, board, built):
    board.outcome = "rolled back"
    assert_fails(mqboard("ota", "--image", str(built)), 1, "Rolled back")
    board.outcome = "confirmed"
    blocks = board.block_messages
    assert_fails(
        mqboard("ota", "--image", str(built)), 5, "gone back", "it crashed", "--retry-failed"
    )
    assert board.block_messages == blocks
    assert mqboard("ota", "--image", str(built), "--retry-failed").returncode == 0
    assert board.options["retry_failed"] is True
    assert board.image == APP


def test_a_board_that_wants_signatures_is_sent_no_unsigned_image(mqboard, board, built):
    board.facts |= {"signing": "required", "keys": ["0123456789abcdef"]}
    process = mqboard("ota", "--image", str(built))
    assert_fails(process, 5, "not signed", "0123456789abcdef", "Nothing was sent")
    assert [command for command, _ in board.requests] == ["info"]


def events_of(process):
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_only_differences_are_sent_to_a_base_and_everything_in_full(mqboard, board, built):
    old = APP[:12_000] + b"#" + APP[12_001:]
    board.image = old
    base = built.parent / "old.bin"
    base.write_bytes(old)
    process = mqboard("ota", "--image", str(built), "--base", str(base))
    assert process.returncode == 0, process.stderr
    assert "as differences to" in process.stdout.splitlines()[-1]
    board.image = old
    process = mqboard("ota", "--image", str(built), "--full")
    assert "in full" in process.stdout.splitlines()[-1]
    board.image = old
    assert_fails(
        mqboard("ota", "--image", str(built), "--base", "nowhere.bin"), 2, "nowhere.bin", "read"
    )


def test_ota_tells_scripts_what_happens(mqboard, board, built):
    first, *progress, last = events_of(mqboard("ota", "--image", str(built), "--json"))
    assert (first["event"], first["version"], first["size"]) == ("start", "0.2.0", len(APP))
    assert {event["event"] for event in progress} == {"progress"}
    stages = list(dict.fromkeys(event["stage"] for event in progress))
    # A board that is quick is confirmed before it was seen waiting for it.
    assert stages[:2] == ["compare", "send"] and stages[-1] in ("restart", "confirm")
    assert (last["event"], last["old_version"], last["slot"]) == ("done", "0.1.0", "ota_1")


def test_ota_tells_scripts_why_it_failed(mqboard, board, built):
    board.outcome = "rolled back"
    process = mqboard("ota", "--image", str(built), "--json")
    assert_fails(process, 1, "Rolled back")
    last = events_of(process)[-1]
    assert (last["event"], last["code"], last["exit_code"]) == ("failed", wire.CRASH, 1)
    assert "it crashed" in last["message"]
    (built.parent / "image.json").unlink()
    last = events_of(mqboard("ota", "--image", str(built), "--json"))[-1]
    assert (last["event"], last["code"], last["exit_code"]) == ("failed", None, 2)


def test_an_update_that_is_never_confirmed_is_exit_code_4(mqboard, board, built):
    board.outcome = "never confirmed"
    process = mqboard("ota", "--image", str(built), "--confirm-timeout", "1")
    assert_fails(process, 4, "has not confirmed")


def test_ctrl_c_says_how_things_stand_and_the_next_ota_succeeds(mqboard, broker, board, built):
    reached = threading.Event()

    def block(number, payload):
        if number == 2:
            reached.set()
        return [payload] if number < 3 else []

    board.on_block = block
    line = command_line(broker.port, board.prefix, "ota", "--image", str(built))
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert reached.wait(30)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.strip()) == (130, "")
    assert "keeps running 0.1.0" in output
    board.on_block = None
    assert mqboard("eval", "1").stdout == "1\n"
    assert mqboard("ota", "--image", str(built)).returncode == 0
    assert board.image == APP


@pytest.fixture
def first(broker, prefix):
    """Run a board of the first MQBoard: no status, no signatures, `eval` and little more."""
    with FakeBoard(broker.port, prefix) as old:
        old._client.publish(mqwire.status_topic(prefix), b"", 1, True)

        def answer(command, ident, body):
            if command == "eval":
                yield mqwire.reply_topic(prefix, ident), mqwire.SINGLE + b"921"
            else:
                text = f"Command '{command}' not supported".encode()
                yield mqwire.error_topic(prefix, ident), text

        old.answer = answer
        yield old


def test_a_board_of_the_first_mqboard_can_be_evaluated_on(mqboard, first):
    assert mqboard("eval", "45+876").stdout == "921\n"


@pytest.mark.parametrize("command", ["info", "ota"])
def test_what_a_board_of_the_first_mqboard_cannot_do_is_said(mqboard, first, built, command):
    image = ("--image", str(built)) if command == "ota" else ()
    process = mqboard(command, *image)
    assert_fails(process, 1, "Command 'info' not supported", first.prefix, "invoke flash")

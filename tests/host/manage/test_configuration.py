"""Tests how a configuration is shown, compared and edited: pure functions, and the commands."""

import hashlib
import json
import signal
import subprocess

import pytest
from commandline import ENVIRONMENT, command_line, here
from waiting import wait_until

from mqhost.cli.terminal.questions import Questions
from mqhost.errors import UsageError
from mqhost.manage.configuration import (
    Configuration,
    assign,
    differences,
    flatten,
    is_secret,
    ordered,
    pick,
    remove,
    value_of,
)
from mqwire import secrets

RECORD = {
    "prefix": "a",
    "networks": [{"ssid": "one", "password": "s3cret-1"}, {"ssid": "two"}],
    "broker": {"host": "h", "password": "s3cret-2", "key": "-----BEGIN KEY-----s3cret"},
    "modules": {"m": {"api_key": "s3cret-3", "pin": 2, "inner": [{"token": "s3cret-4"}]}},
}
HIDDEN = [
    "networks.0.password",
    "broker.password",
    "broker.key",
    "modules.m.api_key",
    "modules.m.inner.0.token",
]


def copy(record):
    return json.loads(json.dumps(record))


def shown(record, nonce="n"):
    """Return what a board with `record` tells of it."""
    digests = {
        path: secrets.digest(hashlib.sha256, nonce, path, container[key])
        for container, key, path in secrets.find(record)
    }
    masked = copy(record)
    secrets.mask(masked)
    return Configuration(masked, "boot", True, 1, "same", None, False, digests, nonce)


def changes(record):
    """Return the differences to RECORD as (key, old, new)."""
    return [(item.key, item.old, item.new) for item in differences(shown(RECORD), record)]


def test_every_secret_is_found_and_put_back_wherever_it_goes():
    assert [path for _, _, path in secrets.find(RECORD)] == HIDDEN
    masked = shown(RECORD).record
    assert "s3cret" not in json.dumps(masked)
    masked["networks"].reverse()
    filled = json.loads(secrets.fill_in(json.dumps(masked), RECORD, json.dumps))
    assert filled["networks"] == RECORD["networks"][::-1]
    assert filled["modules"] == RECORD["modules"]


def test_secrets_that_are_the_same_are_no_difference_and_others_are_not_shown():
    assert changes(copy(RECORD)) == []
    assert changes(shown(RECORD).record) == []
    other = copy(RECORD)
    other["broker"]["password"] = "s3cret-other"
    other["networks"][1]["password"] = "s3cret-new"
    assert changes(other) == [
        ("networks.1.password", "", "(secret)"),
        ("broker.password", "(secret)", "(another secret)"),
    ]


def test_differences_come_by_key_in_their_usual_order():
    other = copy(RECORD) | {"prefix": "b", "log": {"level": "debug"}, "ntp": ""}
    other["networks"].pop()
    assert changes(other) == [
        ("prefix", '"a"', '"b"'),
        ("networks.1.ssid", '"two"', ""),
        ("ntp", "", '""'),
        ("log.level", "", '"debug"'),
    ]
    assert changes(copy(RECORD) | {"modules": {"m": {}}})[0][0] == "modules.m"
    one, true = copy(RECORD), copy(RECORD)
    one["modules"]["m"]["pin"], true["modules"]["m"]["pin"] = 1, True
    assert differences(shown(one), true)


def test_what_comes_into_an_empty_object_is_one_difference():
    one, other = copy(RECORD) | {"modules": {}}, copy(RECORD) | {"modules": {"m": {"pin": 2}}}
    (found,) = differences(shown(one), other)
    assert found.record() == {"key": "modules.m.pin", "new": 2}
    keys = [item.key for item in differences(shown(other), one)]
    assert keys == ["modules", "modules.m.pin"]  # an empty object is something else than none


def test_scripts_get_values_and_no_secrets():
    other = copy(RECORD) | {"ntp": ""}
    other["broker"]["password"] = "s3cret-other"
    assert [item.record() for item in differences(shown(RECORD), other)] == [
        {"key": "broker.password", "old": "(secret)", "new": "(another secret)"},
        {"key": "ntp", "new": ""},
    ]


def test_a_record_has_the_usual_order():
    record = {"zzz": 1, "modules": {"b": 1, "a": 2}, "broker": {"port": 1, "host": "h"}}
    told = json.dumps(ordered(record | {"prefix": "p"}))
    assert told == json.dumps(
        {"prefix": "p"}
        | {"broker": {"host": "h", "port": 1}, "modules": {"a": 2, "b": 1}, "zzz": 1}
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("broker.port", 1884),
        ("networks.0.password", "other"),
        ("networks.2.ssid", "three"),
        ("log.level", "debug"),
        ("broker.fallback.host", "h2"),
        ("modules.n.a.b", [1]),
        ("modules.m.inner.1", {"token": "t"}),
    ],
)
def test_what_is_set_is_there_and_can_be_removed(key, value):
    record = copy(RECORD)
    assign(record, key, value)
    assert pick(record, key) == value
    remove(record, key)
    with pytest.raises(UsageError):
        pick(record, key)


def test_the_last_key_of_a_section_takes_it_along_but_a_module_stays():
    record = copy(RECORD) | {"auth": {"key": "k"}, "modules": {"blinky": {"pin": 2}}}
    remove(record, "auth.key")
    remove(record, "modules.blinky.pin")
    assert "auth" not in record and record["modules"] == {"blinky": {}}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("broker.prot", "Did you mean broker.port"),
        ("port", "Did you mean broker.port"),
        ("colour", "not known"),
        ("networks.4.ssid", "has 2 items; the next is 2"),
        ("networks.x.ssid", "not known"),
        ("broker.host.name", "not known"),
        ("prefix.", "no key"),
        ("", "no key"),
        ("modules..x", "no key"),
        ("modules.m.pin.x", "nothing inside"),
    ],
)
def test_a_key_that_cannot_be_is_named(key, words):
    with pytest.raises(UsageError, match=words):
        assign(copy(RECORD), key, 1)


def test_values_are_what_their_keys_are():
    assert value_of("broker.port", "8883") == 8883
    assert value_of("broker.user", "8883") == "8883"
    assert value_of("broker.tls", "no") is False
    assert value_of("modules.m.pin", "2") == 2
    assert value_of("modules.m.name", "it is") == "it is"
    assert value_of("networks", '[{"ssid": "n"}]') == [{"ssid": "n"}]
    for text in ("ethernet, wifi", '["ethernet", "wifi"]'):
        assert value_of("network.order", text) == ["ethernet", "wifi"]
    for key, text in (("broker.port", "x"), ("broker.tls", "maybe"), ("networks", "{"),
                      ("watchdog.timeout_s", "NaN")):  # fmt: skip
        with pytest.raises(UsageError, match=key):
            value_of(key, text)


def test_it_is_known_which_keys_are_secret():
    for key in ("networks.0.password", "broker.password", "modules.m.token", "modules.m.l.0.key"):
        assert is_secret(key)
    for key in ("prefix", "broker.key", "networks.0.ssid", "modules.m.pin"):
        assert not is_secret(key)


def test_what_is_empty_is_seen():
    assert flatten({"a": {}, "b": [], "c": [{"d": 1}]}) == {"a": {}, "b": [], "c.0.d": 1}


# The commands, against the fake board.


@pytest.fixture
def mqboard(broker, prefix, capsys):
    def run(*arguments, given="", **environment):
        line = command_line(broker.port, prefix, "config", *arguments)
        process = here(capsys, line, given, **environment)
        assert "s3cret" not in process.stdout + process.stderr
        return process

    return run


def test_get_shows_all_or_one(board, mqboard):
    assert "broker.password" in mqboard("get").stdout
    assert mqboard("get", "broker.host").stdout == "h\n"
    assert json.loads(mqboard("get", "networks", "--json").stdout) == [{"ssid": "n"}]
    missing = mqboard("get", "broker.prot")
    assert (missing.returncode, "Did you mean broker.port" in missing.stderr) == (2, True)


def test_set_says_what_changes_and_that_it_did(board, mqboard):
    process = mqboard("set", "broker.host=h2", "update.confirm_s=60", "modules.m={}")
    assert (process.returncode, process.stderr) == (0, "")
    assert '"h2"' in process.stdout and "runs the new configuration" in process.stdout
    assert board.config["broker"] == {"host": "h2", "tls": False, "user": "u", "password": "s3cret"}
    process = mqboard("set", "broker.host=h2")
    assert (process.returncode, "Nothing to change" in process.stdout) == (0, True)
    assert json.loads(mqboard("unset", "modules", "--json").stdout)["confirmed"] is True
    assert "modules" not in board.config


def test_a_board_that_has_just_started_is_waited_for(board, mqboard):
    board.settles_after = 2
    process = mqboard("set", "ntp=x")
    assert (process.returncode, "Waiting until" in process.stdout) == (0, True)


def test_a_secret_is_asked_for_or_taken_from_the_environment(board, mqboard):
    process = mqboard("set", "broker.password=s3cret-new")
    assert process.returncode == 2 and "MQBOARD_BROKER_PASSWORD" in process.stderr
    assert mqboard("set", "broker.password").returncode == 2
    for inner in (
        'networks=[{"ssid": "n", "password": "s3cret-new"}]',
        'modules.m={"key": "s3cret"}',
    ):
        process = mqboard("set", inner)
        assert process.returncode == 2 and "There is a secret in" in process.stderr
    mqboard("set", "broker.password", MQBOARD_BROKER_PASSWORD="s3cret-new")
    assert board.config["broker"]["password"] == "s3cret-new"


def test_what_no_board_would_take_is_not_sent(board, mqboard, tmp_path):
    file = tmp_path / "board.json"
    file.write_text(json.dumps({"prefix": "a", "networks": []}))
    for line in (("set", "broker.port=70000"), ("unset", "prefix"), ("push", str(file))):
        assert mqboard(*line).returncode == 2
    assert board.boots == 1


def test_push_and_diff_of_a_file(board, mqboard, tmp_path):
    file = tmp_path / "board.json"
    file.write_text(json.dumps(board.config | {"ntp": "x", "colour": 1}))
    process = mqboard("diff", str(file))
    assert process.returncode == 0 and "ntp" in process.stdout and "password" not in process.stdout
    assert board.boots == 1
    board.unknown = ["colour", "ntp"]
    process = mqboard("push", str(file))
    assert process.returncode == 0 and "colour is not known" in process.stdout
    assert "does not know ntp, and ignores it" in process.stdout
    assert "does not know colour" not in process.stdout
    assert "is what the board has" in mqboard("diff", str(file)).stdout


def test_a_configuration_comes_from_standard_input(board, mqboard):
    text = json.dumps(board.config | {"ntp": "x"})
    assert "standard input" in mqboard("diff", "-", given=text).stdout
    process = mqboard("push", "-", given=text)
    assert (process.returncode, board.config["ntp"]) == (0, "x")
    for wrong in ("", "{", "[]"):
        process = mqboard("push", "-", given=wrong)
        assert process.returncode == 2 and "standard input" in process.stderr


def test_revert_shows_what_changes_and_asks(board, mqboard, monkeypatch):
    before = copy(board.config)
    mqboard("set", "ntp=x", "broker.password", MQBOARD_BROKER_PASSWORD="s3cret-new")
    asked = mqboard("revert")
    assert asked.returncode == 2 and "--yes says that it is wanted" in asked.stderr
    lines = asked.stdout.splitlines()
    assert any("ntp" in line and '"x"' in line for line in lines)
    assert any("broker.password" in line and "(another secret)" in line for line in lines)
    assert "networks.0" not in asked.stdout and board.boots == 2
    questions = []
    monkeypatch.setattr(Questions, "agree", lambda self, text: questions.append(text) or True)
    assert mqboard("revert").returncode == 0 and board.prefix in questions[0]
    assert board.config == before
    told = json.loads(mqboard("revert", "--yes", "--json").stdout)
    assert len(questions) == 1 and board.config["ntp"] == "x"
    assert {"key": "ntp", "new": "x"} in told["changed"]


def test_nothing_is_asked_where_there_is_nothing_to_go_back_to(board, mqboard):
    process = mqboard("revert")
    assert process.returncode == 5 and "there is no configuration before" in process.stderr


def test_firmware_that_does_not_tell_what_was_before_goes_back_all_the_same(board, mqboard):
    answer = board._do_config

    def older(ident, body):
        if board.tail.startswith("previous"):
            board.error(ident, "config: what is 'previous'?")
        else:
            answer(ident, body)

    mqboard("set", "ntp=x")
    board._do_config = older
    assert mqboard("revert", "--yes").returncode == 0
    assert "ntp" not in board.config


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        ("rolled back", 1, "is back with its old configuration. With the new one: it did not."),
        ("forgotten", 1, "why is not known"),
    ],
)
def test_a_board_that_went_back_is_told(board, mqboard, outcome, code, words):
    board.outcome = outcome
    process = mqboard("set", "ntp=x")
    assert process.returncode == code and words in process.stderr


def test_a_refusal_is_told(board, mqboard):
    board.refused = "an update is under way"
    process = mqboard("set", "ntp=x")
    assert process.returncode == 5 and "keeps its configuration: an update" in process.stderr


def test_an_old_board_says_what_it_needs(board, mqboard):
    board._do_config = None
    process = mqboard("get")
    assert process.returncode == 1 and "not supported" in process.stderr


def test_who_stops_the_tool_hears_that_the_board_goes_on(board, broker, prefix):
    board.outcome = "never back"
    line = command_line(broker.port, prefix, "config", "set", "ntp=x")
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        wait_until(lambda: any(command == "config" for command, _ in board.requests[1:]))
        wait_until(lambda: "restarts and tries" in process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and "tries it all the same" in out

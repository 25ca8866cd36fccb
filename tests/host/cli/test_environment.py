"""Tests that every option can be given by an MQBOARD_… variable, and that options go before."""

import json

import click
import pytest
from commandline import command_line, here

from mqhost.cli.main import cli
from mqhost.link.settings import Settings

OTHERS = ("version", "verbose")  # which settings have nothing of


@pytest.fixture
def mqboard(board, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **environment):
        return here(capsys, command_line(board.port, board.prefix, *arguments), **environment)

    return run


@pytest.mark.parametrize("option", [option for option in cli.params if option.name not in OTHERS])
def test_an_option_before_the_command_has_a_variable(option, tmp_path):
    values = {"port": "99", "timeout": "3", "tls": "true", "wait": "true"}
    (tmp_path / "mqboard.toml").write_text(
        '[brokers.b]\nserver = "s"\n[boards.b]\nprefix = "p"\n[groups.b]\nboards = ["p"]\n'
    )
    extra = {"cert": {"MQBOARD_KEY": "k"}, "key": {"MQBOARD_CERT": "c"}}.get(option.name, {})
    value = values.get(option.name, "b")
    environment = {f"MQBOARD_{option.name.upper()}": value} | extra
    found = Settings.resolve(environment=environment, folder=tmp_path)
    assert vars(found) != vars(Settings())


def test_the_options_of_a_command_have_its_name_in_front(mqboard):
    assert json.loads(mqboard("info", MQBOARD_INFO_JSON="1").stdout)["board"] == "sim"
    shown = mqboard("config", "get", "broker", MQBOARD_CONFIG_GET_JSON="true").stdout
    assert json.loads(shown)["host"] == "h"


def options_of(command):
    """Yield the options of `command` and of those inside it."""
    yield from (option for option in command.params if isinstance(option, click.Option))
    for inner in getattr(command, "commands", {}).values():
        yield from options_of(inner)


def test_no_two_options_have_the_same_variable():
    options = [option for name in cli.commands for option in options_of(cli.commands[name])]
    # Those are one: where the fleet's database is.
    everywhere = [option.name for option in options if option.envvar == "MQBOARD_DATABASE"]
    assert len(everywhere) > 10 and set(everywhere) == {"database"}
    names = [option.envvar for option in options if option.name != "database"]
    assert len(names) > 60 and None not in names
    names += [f"MQBOARD_{option.name.upper()}" for option in cli.params]
    assert len(names) == len(set(names))


def test_a_wrong_variable_of_a_command_is_named(mqboard):
    ended = mqboard("reset", MQBOARD_RESET_WAIT="soon")
    assert ended.returncode == 2 and "MQBOARD_RESET_WAIT" in ended.stderr


def test_the_wire_is_shown_by_a_variable(mqboard):
    assert "mqb/cmd/info" in mqboard("info", MQBOARD_VERBOSE="1").stderr
    assert "mqb/cmd/info" not in mqboard("info", MQBOARD_VERBOSE="0").stderr


def test_an_option_goes_before_its_variable(mqboard):
    assert mqboard("info", MQBOARD_PREFIX="elsewhere", MQBOARD_PORT="1").returncode == 0

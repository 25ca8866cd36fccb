"""Tests that `invoke ota` is `mqboard ota`: the same options, outcomes and exit codes."""

import subprocess
import sys

import click
import pytest
from commandline import APP, ENVIRONMENT, write_app
from invoketasks import arguments_of

from mqhost.cli.main import cli
from mqhost.paths import ROOT


def options_of(command: click.Command) -> set[str]:
    """Return the long names of its options."""
    names = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return {name for name in names if name.startswith("--")}


@pytest.fixture
def invoke_ota(board, tmp_path):
    """Give a function that runs `invoke ota` for the fake board, returning the process."""
    line = [sys.executable, "-m", "invoke", "ota", "--image", write_app(tmp_path)]
    line += ["--prefix", board.prefix, "--server", "127.0.0.1", "--port", str(board.port)]

    def run(*options):
        return subprocess.run(
            [*line, *options], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
        )

    return run


def test_the_options_of_invoke_ota_are_those_of_mqboard_ota():
    arguments = arguments_of("ota")
    names = {f"--{name}" for argument in arguments for name in argument.names if len(name) > 1}
    assert names == options_of(cli) - {"--version"} | options_of(cli.commands["ota"])
    assert all(argument.help for argument in arguments)
    short = [name for argument in arguments for name in argument.names if len(name) == 1]
    assert all(name.isalpha() for name in short) and {"p", "b", "i", "j", "s"} <= set(short)


def test_invoke_ota_pushes(invoke_ota, board):
    process = invoke_ota("--no-tls", "--patience", "30", "--timeout", "5", "--json", "--verbose")
    assert process.returncode == 0, process.stderr
    assert board.image == APP
    assert '"event": "done"' in process.stdout.splitlines()[-1]
    assert "mqb/cmd/update" in process.stderr


def test_invoke_ota_ends_as_mqboard_ota_does(invoke_ota, board):
    board.facts["board"] = "other"
    assert invoke_ota("--force").returncode == 5
    process = invoke_ota("--confirm-timeout", "soon")
    assert process.returncode == 2
    assert "'soon' is not a valid float" in process.stderr
    assert not board.block_messages

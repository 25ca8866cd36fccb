"""Tests that commands are imported when they are used, and that their table says what they say."""

import subprocess
import sys

import pytest
from commandline import ENVIRONMENT

from mqhost.cli.catalogue import COMMANDS
from mqhost.cli.edge import CommandGroup
from mqhost.cli.main import cli

HEAVY = ("paho", "cryptography", "rich", "httpx", "docker", "littlefs", "serial", "mqhost.link")
LOOK = "import sys; from mqhost.cli.main import main; main(['--help']); print(*sys.modules)"


def test_help_imports_nothing_that_takes_time():
    process = subprocess.run(
        [sys.executable, "-c", LOOK], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    *shown, modules = process.stdout.splitlines()
    assert any("Ask the board for its version" in line for line in shown)
    loaded = modules.split()
    assert "click" in loaded and "mqhost.cli.main" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def test_a_command_is_imported_without_the_others():
    look = "import sys; from mqhost.cli.main import main; main(['status', '-h']); print()"
    look += "; print(*sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", look], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    loaded = process.stdout.splitlines()[-1].split()
    assert "mqhost.cli.manage.info" in loaded
    assert "mqhost.cli.adopt" not in loaded and "mqhost.cli.update.ota" not in loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name):
    command = cli.commands[name]
    assert command.name == name
    assert dict(cli.sentences())[name] == dict(CommandGroup.sentences(cli))[name]


def test_a_name_that_is_none_is_no_command():
    assert "evaluate" not in cli.commands
    assert cli.get_command(None, "evaluate") is None

"""Tests that every command of README.md and docs/ exists, with every option it is shown with."""

import re

import click
import invoke
import pytest

import tasks
from mqhost.cli.main import cli
from mqhost.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TASKS = {name: task for name, task in vars(tasks).items() if isinstance(task, invoke.Task)}
_SHOWN = re.compile(
    r"`(?:\./)?((?:invoke|mqboard) [^`]+)`|^\$ (?:\./)?((?:invoke|mqboard) .+)", re.M
)
_OPTION = re.compile(r"(?<!\S)--?[a-zA-Z][\w-]*")


def shown(page):
    """Yield (command line, options that stand beside it in its row of a table)."""
    for line in page.read_text().splitlines():
        for number, found in enumerate(_SHOWN.finditer(line)):
            first = line.startswith("| `") and not number
            beside = re.findall(r"`(--?[a-z][^`]*)`", line) if first else []
            yield found[1] or found[2], _OPTION.findall(" ".join(beside))


def options_of(words):
    """Return the options that the command in `words` may have; None if there is no such command."""
    if words[0] == "invoke":
        task = TASKS.get(words[1].replace("-", "_"))
        names = (
            [name for argument in task.get_arguments() for name in argument.names] if task else []
        )
        return {("-" if len(name) == 1 else "--") + name for name in names} if task else None
    command: click.Command = cli
    found = list(cli.params)
    for word in words:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
            found += command.params
    options = [option for option in found if isinstance(option, click.Option)]
    names = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    return names if command is not cli else None


def commands_of(group, before=()):
    """Yield the words of each command of `group`, those of groups inside it, too."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, (*before, name))
        else:
            yield (*before, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_is_shown_exists(page):
    for line, beside in shown(page):
        line = line.partition(" -- ")[0]
        words = line.split()
        if words[1].strip("….") == "":  # any command
            continue
        known = options_of(words)
        assert known is not None, f"no such command: {line}"
        for option in _OPTION.findall(line) + beside:
            assert option in known | {"--help"}, f"{option} in: {line}"


def test_the_readme_shows_them_all():
    lines = [line for line, _ in shown(ROOT / "README.md")]
    for name in TASKS:
        assert any(line.startswith(f"invoke {name.replace('_', '-')}") for line in lines), name
    for names in commands_of(cli):
        pattern = r"mqboard\b.* " + r"\b.* ".join(names) + r"\b"
        assert any(re.match(pattern, line) for line in lines), names

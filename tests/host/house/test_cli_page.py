"""Tests docs/cli.md: it is what ./invoke docs writes, and has every command, option and code."""

import re

import click
import invoke
import pytest
from documented import COMMANDS, TASKS, problem

from ci.docs.reference import command_entries, exit_codes, reference, task_entries
from mqhost import errors
from mqhost.cli.main import cli
from mqhost.paths import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
ENTRIES = [*command_entries(cli), *task_entries()]


def options_of(command):
    """Return the names of a click command's or a task's options, as --json."""
    if isinstance(command, invoke.Task):
        longest = [max(argument.names, key=len) for argument in command.get_arguments()]
        return ["--" + name.replace("_", "-") for name in longest]
    options = [option for option in command.params if isinstance(option, click.Option)]
    return [name for option in options for name in (*option.opts, *option.secondary_opts)]


def test_it_is_what_the_commands_say_now():
    assert reference() == PAGE, "docs/cli.md is out of date: run ./invoke docs"


@pytest.mark.parametrize("name", [*COMMANDS, *TASKS])
def test_every_command_is_there_with_every_option(name):
    command = COMMANDS.get(name) or TASKS[name]
    section = SECTIONS[name]
    assert re.search(rf"^`(\./)?{name}\b", section, re.MULTILINE)
    for option in options_of(command):
        assert re.search(rf"`[^`]*(?<![\w-]){option}(?![\w-])[^`]*` \| \S", section), option


def test_it_shows_nothing_else():
    assert SECTIONS.keys() == COMMANDS.keys() | TASKS.keys()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_command_has_help_and_an_example(entry):
    assert re.match(r"[A-Z][^\n]{15,}", entry.text), "no help"
    if isinstance(COMMANDS.get(entry.name), click.Group):
        return
    found = [line for line in entry.examples if re.search(rf"\b{entry.name.split()[0]} ", line)]
    assert found and found == entry.examples, (
        f"The help of {entry.name} has no example. End its docstring with a paragraph like this:\n"
        "    \\b\n    Examples:\n      mqboard --prefix esp32/test …"
    )
    for line in entry.examples:
        assert not problem(line), f"{line}: {problem(line)}"
        words = entry.name.split()
        assert re.search(r"\b.* ".join(map(re.escape, words)), line), line


def test_every_exit_code_is_there():
    codes = {errors.ToolError.exit_code, 0, 130}
    codes |= {kind.exit_code for kind in errors.ToolError.__subclasses__()}
    assert {int(code) for code, _ in exit_codes()} == codes == set(range(6)) | {130}
    for code in codes:
        assert re.search(rf"^\| `{code}` \| \S", PAGE, re.MULTILINE)


def test_every_link_leads_to_a_heading():
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert len(links) > 40 and set(links) <= anchors

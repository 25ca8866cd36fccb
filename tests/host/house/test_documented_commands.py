"""Tests that every command of README.md and docs/ exists, with every option it is shown with."""

import re

import click
import pytest
from documented import COMMANDS, PAGES, TASKS, calls, command_lines, problem

from mqhost.cli.main import cli
from mqhost.paths import ROOT

_SHOWN = re.compile(r"`(?:\./)?((?:invoke|mqboard) [^`]+)`")
_OPTION = re.compile(r"(?<!\S)--?[a-zA-Z][\w-]*")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def shown(page):
    """Yield (command line, options that stand beside it in its row of a table)."""
    for line in page.read_text().splitlines():
        for number, found in enumerate(_SHOWN.finditer(line)):
            first = line.startswith("| `") and not number
            beside = re.findall(r"`(--?[a-z][^`]*)`", line) if first else []
            yield found[1], _OPTION.findall(" ".join(beside))


def options_of(words):
    """Return the options that the command in `words` may have; None if there is no such command."""
    if words[0] == "invoke":
        task = TASKS.get(f"invoke {words[1]}")
        names = (
            [name for argument in task.get_arguments() for name in argument.names] if task else []
        )
        return {("-" if len(name) == 1 else "--") + name for name in names} if task else None
    found, path = list(cli.params), "mqboard"
    for word in words:
        if f"{path} {word}" in COMMANDS:
            path = f"{path} {word}"
            found += COMMANDS[path].params
    options = [option for option in found if isinstance(option, click.Option)]
    names = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    return names if path != "mqboard" else None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_that_is_shown_exists(page):
    for line, beside in shown(page):
        line = line.partition(" -- ")[0]
        words = line.split()
        if words[1] in ("…", "[OPTIONS]"):  # any command
            continue
        known = options_of(words)
        assert known is not None, f"no such command: {line}"
        for option in _OPTION.findall(line) + beside:
            assert option in known | {"--help"}, f"{option} in: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_is_one_that_works(page):
    for line in command_lines(page.read_text()):
        assert not problem(line), f"{line}: {problem(line)}"


def test_there_are_many():
    pages = [page for page in PAGES if page.name != "cli.md"]
    lines = [line for page in pages for line in command_lines(page.read_text())]
    assert sum(1 for line in lines for _ in calls(line)) > 30


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("mqboard --prefix a/b evaluate 1", "evaluate"),
        ("mqboard --prefix a/b eval", "CODE"),
        ("mqboard eval --prefix a/b 1", "--prefix"),
        ("mqboard --port x info", "x"),
        ("echo 1 | PYTHON=x .venv/bin/mqboard config gett", "gett"),
        ("./invoke build --bord sim", "--bord"),
        ("invoke bilud", "bilud"),
        ("mqboard info > a.txt && mqboard infos", "infos"),
    ],
)
def test_what_does_not_work_is_found(line, wrong):
    assert wrong in problem(line)


def test_the_readme_leads_to_all_commands():
    text = (ROOT / "README.md").read_text()
    assert "(docs/cli.md)" in text
    assert {"invoke demo", "invoke build", "invoke test"} <= set(re.findall(r"invoke \w+", text))

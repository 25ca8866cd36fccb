"""Writes the reference of all commands, docs/cli.md, out of what the commands say of themselves.

    click commands of mqboard, Invoke tasks → Entry → Markdown

Each one's text is its own help: sentences, then `Examples:` with a command line in each line.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

import click
from invoke import Collection
from invoke.loader import FilesystemLoader

from mqhost import errors
from mqhost.cli.main import cli
from mqhost.paths import ROOT

_EXAMPLES = "Examples:"
# Options and variables; not those that stand in backticks already.
_CODE = re.compile(r"(?<![`\w-])(--[a-z][\w-]*\w|MQBOARD_[A-Z_]*[A-Z])(?![`\w])")
_HEAD = """# All commands

This page is written by `./invoke docs` out of the help texts of the commands; `--help` behind any
of them says the same. [`mqboard`](#mqboard) manages boards, from anywhere. [`invoke`](#invoke)
builds, flashes and tries things out, in a checkout: `./invoke …`, or plain `invoke …` in an
activated `.venv`.
"""
_MQBOARD = """## mqboard

`mqboard [OPTIONS] COMMAND [ARGS]...`

These options say which broker and which board, and stand before the command:
"""
_CODES = """## Exit codes

The same for all; a sentence on stderr says what happened and what to do next.
"""
_INVOKE = """## invoke

Options stand behind the task: `./invoke build --board esp32`.
"""


@dataclass(frozen=True)
class Entry:
    """A command as the page shows it: `name` with what it belongs to, as mqboard config set;
    `options` are pairs of what to write and what it does."""

    name: str
    usage: str
    text: str
    options: tuple[tuple[str, str], ...]

    @property
    def sentence(self) -> str:
        """The first sentence of the help."""
        return _joined(self.text.strip().partition("\n\n")[0]).partition(". ")[0].rstrip(".") + "."

    @property
    def prose(self) -> list[str]:
        """The paragraphs of the help, without the examples."""
        before = self.text.partition(_EXAMPLES)[0]
        return [_joined(part) for part in before.split("\n\n") if part.strip()]

    @property
    def examples(self) -> list[str]:
        """The command lines below "Examples:"."""
        return [line.strip() for line in self.text.partition(_EXAMPLES)[2].strip().splitlines()]


def reference() -> str:
    """Return the page."""
    commands, tasks = list(command_entries(cli)), list(task_entries())
    common = _options(click.Context(cli, info_name="mqboard"))
    parts = [_HEAD, _CODES, _table("code", exit_codes())]
    parts += [_MQBOARD, _table("option", common), _prose(cli.epilog or ""), _contents(commands)]
    parts += [*map(_section, commands), _INVOKE, _contents(tasks), *map(_section, tasks)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def command_entries(group: click.Group, before: str = "mqboard") -> Iterator[Entry]:
    """Yield the commands of `group` in the order of their names, each before those inside it."""
    for name in sorted(group.commands):
        command = group.commands[name]
        if command.hidden:
            continue
        context = click.Context(command, info_name=name)
        words = f"{before} {name}"
        usage = " ".join([words, *command.collect_usage_pieces(context)])
        text = inspect.cleandoc(command.help or "").replace("\b\n", "")
        yield Entry(words, usage, text, _options(context))
        if isinstance(command, click.Group):
            yield from command_entries(command, words)


def task_entries() -> Iterator[Entry]:
    """Yield the Invoke tasks in the order of their names."""
    module = fresh_tasks()
    for context in sorted(Collection.from_module(module).to_contexts(), key=lambda c: c.name or ""):
        name = context.name or ""
        options = []
        # Not the short names: Invoke deals them out in turn, so that they change with the options.
        for argument in dict.fromkeys(context.args.values()):
            option = max(argument.names, key=len).replace("_", "-")
            value = "" if argument.kind is bool else " " + option.upper().replace("-", "_")
            options.append((f"--{option}{value}", _sentence(argument.help or "")))
        text = inspect.cleandoc(getattr(module, name.replace("-", "_")).__doc__ or "")
        usage = f"./invoke {name}" + " [OPTIONS]" * bool(options)
        yield Entry(f"invoke {name}", usage, text, tuple(options))


def fresh_tasks() -> ModuleType:
    """Return the module tasks.py, newly executed: a task hands out its help texts only once."""
    sys.modules.pop("ci.tasks", None)  # which it imports
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    return module


def exit_codes() -> list[tuple[str, str]]:
    """Return the exit codes with what they mean: those of the errors, and what needs none."""
    found = {0: ["Done."], 130: ["Stopped with Ctrl-C, SIGTERM or SIGHUP."]}
    for error in errors.ToolError.__subclasses__():
        if error.__module__ == errors.__name__:
            found.setdefault(error.exit_code, []).append(inspect.cleandoc(error.__doc__ or ""))
    return [(str(code), " ".join(texts)) for code, texts in sorted(found.items())]


def _options(context: click.Context) -> tuple[tuple[str, str], ...]:
    records = [
        option.get_help_record(context)
        for option in context.command.params
        if isinstance(option, click.Option)
    ]
    return tuple(record for record in records if record)


def _contents(entries: Iterable[Entry]) -> str:
    rows = [
        (f"[`{entry.name}`](#{entry.name.replace(' ', '-')})", _prose(entry.sentence))
        for entry in entries
    ]
    return "\n".join(["| command | what it does |", "| --- | --- |", *map(_row, rows)])


def _section(entry: Entry) -> str:
    lines = [f"### {entry.name}", f"`{entry.usage}`", *map(_prose, entry.prose)]
    if entry.examples:
        lines.append("\n".join(["```console", *(f"$ {line}" for line in entry.examples), "```"]))
    if entry.options:
        lines.append(_table("option", entry.options))
    return "\n\n".join(lines)


def _table(head: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = [("`" + name.replace("|", "\\|") + "`", _prose(text)) for name, text in rows]
    return "\n".join([f"| {head} | |", "| --- | --- |", *map(_row, cells)])


def _row(cells: tuple[str, str]) -> str:
    return f"| {cells[0]} | {cells[1]} |"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    end = "" if text.endswith(("]", ".")) else "."
    return text[:1].upper() + text[1:] + end


def _prose(text: str) -> str:
    """Return `text` so that GitHub shows what it says: no tags, no columns; names as code."""
    text = _joined(text).replace("<", "&lt;").replace("|", "\\|")
    return re.sub(_CODE, r"`\1`", text)

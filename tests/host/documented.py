"""Knows which command lines the documents show, and parses them as mqboard and Invoke do."""

import re
import shlex
from contextlib import suppress

import click
import invoke
from invoke.parser import Parser, ParserContext

from ci.docs.reference import fresh_tasks
from mqhost.cli.main import cli
from mqhost.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _commands(group, before):
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield f"{before} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before} {name}")


COMMANDS = dict(_commands(cli, "mqboard"))
_MODULE = fresh_tasks()
TASKS = {
    f"invoke {name.replace('_', '-')}": task
    for name, task in vars(_MODULE).items()
    if isinstance(task, invoke.Task)
}
_CONTEXTS = invoke.Collection.from_module(_MODULE).to_contexts()


def command_lines(text):
    """Return the command lines in a page's blocks: all behind a $, and those that begin with ours.

    One that goes on in the next line is joined.
    """
    lines = []
    for block in re.findall(r"^```(?:console|sh|text)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        wanted = r"^(?:\$ |(?=(?:\./)?(?:invoke|mqboard) [^…]))(.+)$"
        lines += re.findall(wanted, block.replace("\\\n", " "), re.MULTILINE)
    return lines


def calls(line):
    """Yield the words of each call of mqboard or Invoke in a shell's command line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words, file_follows = [], False
    for word in [*lexer, ";"]:
        if not word or not set(word) <= set("();<>|&"):
            words += [] if file_follows else [word]
            file_follows = False
        elif set(word) & set("<>"):
            file_follows = True
        else:
            yield from _call(words)
            words = []


def _call(words):
    while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
        words = words[1:]
    if words and words[0].rpartition("/")[2] in ("mqboard", "invoke"):
        yield [words[0].rpartition("/")[2], *words[1:]]


def problem(line):
    """Return what is wrong with a command line's calls of mqboard and Invoke; "" if nothing."""
    for words in calls(line):
        with suppress(ValueError):
            words = words[: words.index("--")] if words[0] == "invoke" else words
        found = _of_mqboard(words[1:]) if words[0] == "mqboard" else _of_invoke(words[1:])
        if found:
            return found
    return ""


def _of_mqboard(words):
    command, context = cli, None
    try:
        while True:
            context = command.make_context(command.name, list(words), parent=context)
            words = [*context._protected_args, *context.args]
            if not isinstance(command, click.Group) or not words:
                return ""
            _, command, words = command.resolve_command(context, words)
    except click.exceptions.Exit:  # --help
        return ""
    except click.ClickException as error:
        return error.format_message()


def _of_invoke(words):
    core = ParserContext(args=invoke.Program().core_args())
    try:
        parsed = Parser(initial=core, contexts=_CONTEXTS).parse_argv(list(words))
    except invoke.exceptions.ParseError as error:
        return str(error)
    return "" if len(parsed) > 1 or "--list" in words else f"no task in {words}"

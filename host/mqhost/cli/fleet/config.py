"""Defines `mqboard fleet config`: what many boards have in common is changed, each is its own."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mqhost.cli.edge import CommandGroup, Edge, to_stderr
from mqhost.cli.fleet.changing import Done, Manner, change_all, changing
from mqhost.cli.fleet.selection import Selection
from mqhost.cli.manage.config import CONFIG_FILE, changed_record, load_argument, wished
from mqhost.cli.terminal.questions import Questions
from mqhost.errors import UsageError
from mqhost.fleet.shared import lay_over, own_key, without_own
from mqhost.link import schema
from mqhost.link.boardconfig import check, unknown
from mqhost.link.session import Session
from mqhost.manage.configchange import change, fetch_settled
from mqhost.manage.configuration import assign, check_known, differences, flatten, remove

Record = dict[str, Any]


@click.group("config", cls=CommandGroup)
def config_command() -> None:
    """Change the configuration of the boards that are chosen; no change can lock you out.

    Each board tries it, as with mqboard config, and is back with its old one if it must. What is a
    board's own stays: prefix, hostname and fixed addresses.
    """


@config_command.command("push")
@click.argument("file", type=CONFIG_FILE)
@changing
def push_command(edge: Edge, selection: Selection, manner: Manner, file: Path) -> None:
    """Lay the configuration in FILE over that of each board that is chosen, and wait.

    FILE has what the boards share. Keys that are not in it stay as they are, and so do a board's
    own ones that are in it. <secret KEY>, as config get shows it, means: as it is on the board.
    FILE may be -, for standard input; --yes is needed then.

    \b
    Examples:
      mqboard fleet config push common.json 'farm/+'
      mqboard fleet config push common.json --group north --max-failed 0 --yes
    """
    where, record = load_argument(edge, file)
    shared, own = without_own(record)
    if not shared:
        raise UsageError(f"{where} has nothing in it that boards share.")
    for note in unknown(shared):
        to_stderr(note)
    if own:
        to_stderr(f"Each board keeps its own {', '.join(own)}, whatever {where} says.")
    check(shared, where, flatten(shared))
    keys = ", ".join(flatten(shared))
    get = f"a configuration with {keys}"
    _change(edge, selection, manner, get, lambda now: lay_over(now, shared))


@config_command.command("set")
@click.argument("changes", metavar="KEY=VALUE...", nargs=1)
@changing
def set_command(edge: Edge, selection: Selection, manner: Manner, changes: str) -> None:
    """Set keys of the boards that are chosen, as broker.port=8883, and wait.

    What is KEY=VALUE is set, all else is a PATTERN. A secret is a KEY alone: it is asked for, or
    taken from the variables of mqboard config set.

    \b
    Examples:
      mqboard fleet config set log.level=debug 'farm/+'
      mqboard fleet config set ntp=10.0.0.1 update.confirm_s=120 --where 'board==esp32' --yes
    """
    words = (changes, *selection.patterns)
    wishes = [word for word in words if "=" in word or schema.find(word)]
    patterns = tuple(word for word in words if word not in wishes)
    if not wishes:
        raise UsageError("Set what? Give KEY=VALUE, as log.level=debug, besides the patterns.")
    values = [wished(wish, Questions.at_terminal()) for wish in wishes]
    _check_values(values)

    def edited(now: Record) -> Record:
        for key, value in values:
            assign(now, key, value)
        return now

    selection = replace(selection, patterns=patterns)
    _change(edge, selection, manner, f"a configuration with {', '.join(wishes)}", edited)


@config_command.command("unset")
@click.argument("first", metavar="KEY...", nargs=1)
@changing
def unset_command(edge: Edge, selection: Selection, manner: Manner, first: str) -> None:
    """Remove keys of the boards that are chosen, so that they have their defaults, and wait.

    What is a KEY is removed, all else is a PATTERN. A board that does not have it stays as it is.

    \b
    Examples:
      mqboard fleet config unset log.level 'farm/+'
      mqboard fleet config unset modules.pump ntp --where 'board==esp32' --yes
    """
    words = (first, *selection.patterns)
    keys = tuple(word for word in words if _is_key(word))
    if not keys:
        raise UsageError("Unset what? Give a KEY, as log.level, besides the patterns.")
    for key in keys:
        check_known(key)
        _refuse_own(key, f"config unset {key}")

    def edited(now: Record) -> Record:
        for key in keys:
            with suppress(UsageError):  # it is not there
                remove(now, key)
        return now

    patterns = tuple(word for word in words if word not in keys)
    selection = replace(selection, patterns=patterns)
    _change(edge, selection, manner, f"a configuration without {', '.join(keys)}", edited)


def _is_key(word: str) -> bool:
    """Return whether `word` is meant as a key, and not as a pattern: also one with a typo in it."""
    section, dot, _ = word.partition(".")
    return bool(schema.find(word) or dot and schema.find(section))


def _check_values(values: Sequence[tuple[str, Any]]) -> None:
    """Raise UsageError for a key that is a board's own, or a value that no board takes."""
    made: Record = {}
    for key, value in values:
        _refuse_own(key, f"config set {key}=…")
        with suppress(UsageError):  # an item of a list that the boards have, and we do not
            assign(made, key, value)
    check(made, "these values", flatten(made))


def _refuse_own(key: str, command: str) -> None:
    if own := own_key(key):
        raise UsageError(
            f"{own} is each board's own. Change it on one: mqboard --prefix P {command}"
        )


def _change(
    edge: Edge,
    selection: Selection,
    manner: Manner,
    get: str,
    edited: Callable[[Record], Record],
) -> None:
    """Give each board what `edited` makes of its configuration."""

    def configure(session: Session) -> Done:
        now = fetch_settled(session, lambda stage: None)
        record = edited(deepcopy(now.record))
        check(record)
        found = differences(now, record)
        if not found and now.file == "same":
            text = f"{session.prefix} has it so already."
            return Done(text, changed_record(session.prefix, 0, []))
        done = change(session, now, record)
        text = f"{done.prefix} runs the new configuration, after {done.seconds:.1f} s: "
        text += f"{', '.join(item.key for item in found)}."
        if done.unknown:
            text += f" Its firmware ignores {', '.join(done.unknown)}."
        return Done(text, changed_record(done.prefix, done.seconds, found))

    change_all(edge, selection, manner, get, configure)

"""Gives an Invoke task the options of a `mqboard` command, which are written once, there.

    ota = Twin("ota")
    @task(**ota.texts)
    @ota.options
    def task(context, **given): ota.run(given)

Knows nothing of Invoke: a task's options are its function's parameters.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Container, Mapping
from typing import Any

import click

from mqhost.cli.main import cli, main


class Twin:
    """The options of the command `name`, with those that stand before it, for the connection:
    `before` has the ones that count for it, by default all."""

    def __init__(self, name: str, before: Container[str] | None = None) -> None:
        self._name = name
        self._after = _options(cli.commands[name])
        # One that both have, as --wait, is the command's own.
        self._before = {
            option: found
            for option, found in _options(cli).items()
            if option not in self._after and (before is None or option in before)
        }
        # The prefix, then its own: Invoke gives the short names to who comes first.
        first = {name: self._before[name] for name in ("--prefix",) if name in self._before}
        self._all = first | self._after | self._before
        self.texts = {
            "help": {_parameter(option): _help(found) for option, found in self._all.items()},
            "iterable": [_parameter(name) for name, found in self._all.items() if found.multiple],
        }

    def options(self, body: Callable) -> Callable:
        """Make the options parameters of `body`, which takes them all as keywords."""

        @functools.wraps(body)
        def run(context: Any, **given: Any) -> Any:
            return body(context, **given)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        first = next(iter(inspect.signature(body).parameters.values()))
        parameters = [
            inspect.Parameter(_parameter(option), kind, default=False if found.is_flag else None)
            for option, found in self._all.items()
        ]
        run.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
        return run

    def run(self, given: Mapping[str, Any]) -> None:
        """Run the command with the options that `given` has; SystemExit with its exit code if that
        is not 0."""
        words = [*_arguments(self._before, given), self._name, *_arguments(self._after, given)]
        if code := main(words):
            sys.exit(code)


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the long names of the options that the command takes, as --no-tls; not --version,
    which ends it."""
    return {
        name: option
        for option in command.params
        if isinstance(option, click.Option) and option.expose_value
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }


def _parameter(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _help(option: click.Option) -> str:
    record = option.get_help_record(click.Context(cli))
    return record[1] if record else ""


def _arguments(options: Mapping[str, click.Option], given: Mapping[str, Any]) -> list[str]:
    """Return the words that `given` is on the command line."""
    words = []
    for option, found in options.items():
        value = given.get(_parameter(option))
        if found.is_flag:
            words += [option] * bool(value)
        elif found.multiple:
            words += [f"{option}={one}" for one in value or ()]
        elif value is not None:
            words.append(f"{option}={value}")
    return words

"""Gives an Invoke task the options of a `mqboard` command, which are written once, there.

    ota = Twin("ota")
    @task(help=ota.help)
    @ota.options
    def task(context, **given): exit(ota.run(given))

Knows nothing of Invoke: a task's options are its function's parameters.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import click

from mqhost.cli.main import cli, main


class Twin:
    """The options of the command `name`, with those for the connection, which stand before it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._after = _options(cli.commands[name])
        # One that both have, as --wait, is the command's own.
        before = _options(cli).items()
        self._before = {option: found for option, found in before if option not in self._after}
        # The prefix, then its own: Invoke gives the short names to who comes first.
        first = {"--prefix": self._before["--prefix"]}
        self._all = first | self._after | self._before
        self.help = {_parameter(option): _help(found) for option, found in self._all.items()}

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

    def run(self, given: Mapping[str, Any]) -> int:
        """Run the command with the options that `given` has; return its exit code."""
        return main([*_arguments(self._before, given), self._name, *_arguments(self._after, given)])


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
        elif value is not None:
            words.append(f"{option}={value}")
    return words

"""Gives the commands of rollouts their database, and the rollout that is meant."""

import functools
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mqhost.cli.edge import Edge
from mqhost.fleet.rollout import control
from mqhost.fleet.store.opening import open_store

if TYPE_CHECKING:
    from mqhost.fleet.store.store import Store

database_option = click.option(
    "--database",
    metavar="FILE|URL",
    envvar="MQBOARD_DATABASE",
    help="Where rollouts are kept: a file, or postgresql://USER@HOST/NAME.  "
    "[database in mqboard.toml, or fleet.db in your state folder]",
)


class Rollouts:
    """The database of rollouts that a line means."""

    def __init__(self, edge: Edge, given: str | None) -> None:
        self._edge = edge
        self._given = given
        self.broker = control.broker_name(edge.settings)
        self.who = control.person()

    @contextmanager
    def opened(self) -> "Iterator[Store]":
        """Open it while the `with` block runs."""
        store = open_store(self._given or self._edge.settings.database or None)
        with store:
            yield store

    def line(self, words: str, number: int) -> str:
        """Return the command line that does `words` with rollout `number`."""
        where = f" --database {shlex.quote(str(self._given))}" if self._shown else ""
        return f"mqboard fleet rollout {words} {number}{where}"

    @property
    def _shown(self) -> bool:
        """Whether --database is to be said again: the environment says it by itself, and what has
        a password in it is not shown."""
        context = click.get_current_context()
        source = context.get_parameter_source("database")
        on_the_line = source is click.core.ParameterSource.COMMANDLINE
        return on_the_line and "@" not in str(self._given)


def keeping(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --database; its function gets `rollouts`."""

    @database_option
    @click.pass_obj
    @functools.wraps(function)
    def kept(edge: Edge, database: str | None, **options: Any) -> None:
        function(edge, rollouts=Rollouts(edge, database), **options)

    return kept


number_argument = click.argument("number", metavar="[ID]", type=click.IntRange(1), required=False)

"""Defines the options that choose boards, and says of how many something came."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from mqhost.cli.edge import Edge, completing
from mqhost.cli.terminal.printing import say
from mqhost.errors import ToolError, UsageError
from mqhost.fleet.choose import choose
from mqhost.fleet.many import AT_ONCE, Answer, Asleep, Boards, Offline, questions, worst
from mqhost.fleet.where import Where
from mqhost.link.connection import Connection
from mqhost.link.roster import ALL

_MOST_AT_ONCE = 256  # threads


class NotAll(ToolError):
    """Not all boards did it; which ones, and why, has been shown."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class NotTried(ToolError):
    """A board was left as it is, since too many others had failed."""


@dataclass(frozen=True)
class Chosen:
    """The `boards`, and how to reach them. `likely`: what may have been meant, see questions()."""

    edge: Edge
    connection: Connection
    boards: Boards
    likely: dict[str, str]


@dataclass(frozen=True)
class Selection:
    """What a line says about which boards are meant."""

    patterns: tuple[str, ...]
    group: str | None
    where: Where | None

    @contextmanager
    def choose(self, edge: Edge, looking: bool = False) -> Iterator[Chosen]:
        """Connect, and choose the boards. Who is only `looking` need not say which: all then.

        Without a pattern or a group the boards are those of the options before the command.
        """
        edge = self.edge(edge, looking)
        with edge.connection() as connection:
            boards = choose(connection, edge.settings.many, self.where)
            yield Chosen(edge, connection, boards, questions(connection, boards))

    def edge(self, edge: Edge, looking: bool = False) -> Edge:
        """Return `edge` for the boards at the patterns that are meant, which its settings have in
        `many`; see `choose`.
        """
        edge = edge.for_many(self.patterns, self.group)
        patterns = edge.settings.many
        if not patterns and not looking and self.where is None:
            raise UsageError(
                "Which boards? Give patterns, as 'farm/+' ('#' for all), --group or --where. "
                "mqboard fleet list shows which ones these are."
            )
        edge.settings = edge.settings.for_many(patterns or (ALL,))
        return edge


class _Condition(click.ParamType):
    """Takes a condition, as 'board==esp32'."""

    name = "condition"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Where:
        try:
            return value if isinstance(value, Where) else Where.parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def selecting(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose boards; its function gets them as `selection`."""

    @click.argument(
        "patterns", metavar="[PATTERN]...", nargs=-1, shell_complete=completing("prefix")
    )
    @click.option(
        "--group",
        metavar="NAME",
        shell_complete=completing("groups"),
        help="The boards of that group in mqboard.toml.",
    )
    @click.option(
        "--where",
        type=_Condition(),
        metavar="CONDITION",
        help="Only boards for which it holds, as 'board==esp32 and version<0.5'.",
    )
    @functools.wraps(function)
    def selected(
        *arguments: Any,
        patterns: tuple[str, ...],
        group: str | None,
        where: Where | None,
        **options: Any,
    ) -> None:
        function(*arguments, selection=Selection(patterns, group, where), **options)

    return selected


parallel_option = click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1, _MOST_AT_ONCE),
    default=AT_ONCE,
    show_default=True,
    help="How many boards at a time.",
)


def conclude(
    console: Console, boards: Boards, answers: Sequence[Answer[Any]], quiet: bool = False
) -> None:
    """Say how many of `boards` did it, unless they all did and `quiet`; raise NotAll if not."""
    offline, asleep, left = (
        sum(isinstance(answer.error, kind) for answer in answers)
        for kind in (Offline, Asleep, NotTried)
    )
    ok = sum(answer.error is None for answer in answers)
    failed = len(answers) - ok - offline - asleep - left
    text = f"{counted(len(boards))}: {ok:,} ok, {failed:,} failed, {offline:,} offline"
    text += f", {asleep:,} asleep" if asleep else ""
    text += f", {left:,} not tried." if left else "."
    if code := worst(answers):
        raise NotAll(text, code)
    if not quiet:
        say(console, text)


def counted(number: int) -> str:
    """Say how many boards that is."""
    return f"{number:,} board{'s' if number != 1 else ''}"

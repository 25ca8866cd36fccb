"""Holds what every command of `mqboard` takes from its line: settings, console, common options.

main.py makes the `Edge`; commands get it by `@click.pass_obj`.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from mqhost.cli.terminal.printing import Output, board_output, clean_lines
from mqhost.errors import UsageError
from mqhost.interrupt import first_ctrl_c

if TYPE_CHECKING:  # costs a tenth of a second, and `mqboard --help` needs none of it
    from rich.console import Console

    from mqhost.link.connection import Connection
    from mqhost.link.session import Session
    from mqhost.link.settings import Settings

FILE = click.Path(path_type=Path, dir_okay=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the JSON object.")
_WHOLE = 1000  # characters
raw_option = click.option(
    "--raw", is_flag=True, help="On a terminal, too, print it byte for byte, control codes and all."
)


def completing(what: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes prefixes, or names in a table of mqboard.toml: see completion.py."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from mqhost.cli import completion  # at TAB only

        return completion.complete(what, context.find_root().params, incomplete)

    return complete


def local_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Have the shell complete files of this machine; what begins with ":" is on the board."""
    return [] if incomplete.startswith(":") else [CompletionItem(incomplete, type="file")]


class CommandGroup(click.Group):
    """Lists its commands with the whole first sentence of each one's help, folded and not cut.

    `default`: the one that is meant where none is given, with the group's own options.
    """

    def __init__(self, name: str | None = None, *, default: str = "", **options: Any) -> None:
        super().__init__(name, invoke_without_command=bool(default), **options)
        self._default = default

    def invoke(self, ctx: click.Context) -> Any:
        found = super().invoke(ctx)
        if ctx.invoked_subcommand is None and self._default:
            command = self.commands[self._default]
            with click.Context(command, parent=ctx, info_name=self._default) as inner:
                inner.params = dict(ctx.params)
                command.invoke(inner)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.sentences())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, none of them imported, and the options that do."""
        names = [
            CompletionItem(name, help=sentence)
            for name, sentence in self.sentences()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def sentences(self) -> list[tuple[str, str]]:
        """Return the commands' names, each with the first sentence of its help."""
        commands = sorted(self.commands.items())
        return [(name, command.get_short_help_str(_WHOLE)) for name, command in commands]


class Edge:
    """Carries what commands need of their line; `settings` are resolved when they are used."""

    def __init__(self, options: dict[str, Any], verbose: bool) -> None:
        self._options = options
        self.debug = to_stderr if verbose else None
        self._reading = threading.Lock()  # the edges of many boards have one standard input

    @cached_property
    def console(self) -> "Console":
        from rich.console import Console

        return Console()

    @cached_property
    def settings(self) -> "Settings":
        from mqhost.link.settings import Settings

        return Settings.resolve(self._options, warn=to_stderr)

    @property
    def plain(self) -> "Settings":
        """The settings for a broker without TLS, as a simulated board is on."""
        from mqhost.link.settings import Settings

        return Settings.resolve(self._options | {"tls": False}, warn=to_stderr)

    def for_many(self, patterns: Sequence[str], group: str | None) -> "Edge":
        """Return the same for the boards at `patterns` and of `group`; without any of these for
        the ones that are meant anyway.
        """
        whose = {"group": group} if group else {"prefix": patterns[0]} if patterns else {}
        edge = Edge(self._options | whose, False)
        edge.debug = self.debug
        settings = edge.settings
        many = (*(settings.many if group else ()), *patterns) or settings.many
        edge.settings = settings.for_many(many or (settings.prefix,) * bool(settings.prefix))
        return edge

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the patterns of each group in mqboard.toml, by its name, as far as its boards are
        at the broker that is meant. UsageError if the file cannot be read.
        """
        from mqhost.link.roster import prefix_filters
        from mqhost.link.settings import Settings
        from mqhost.link.settingsfile import Files

        files, found = Files(Path.cwd()), {}
        for name in files.names("groups"):
            with suppress(UsageError):  # whoever chooses it in a line is told
                patterns, at = files.group(name)
                if not at or Settings.resolve(at, asking=False).where == self.settings.where:
                    for pattern in patterns:
                        prefix_filters(pattern)
                    found[name] = patterns
        return found

    def session(self) -> "Session":
        """Return a session with the board that is meant, to be used with `with`."""
        from mqhost.link.session import Session

        return Session(self.settings, debug=self.debug, note=to_stderr)

    @contextmanager
    def connection(self) -> "Iterator[Connection]":
        """Connect to the broker while the `with` block runs, for what is about many boards."""
        from mqhost.link.connection import Connection

        connection = Connection(self.settings, self.debug)
        connection.connect()
        try:
            yield connection
        finally:
            connection.close()

    def first_ctrl_c(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Have the first Ctrl-C in this block call `call()`: see interrupt.first_ctrl_c."""
        return first_ctrl_c(call)

    def output(self, raw: bool = False) -> Output:
        """Return where to write what a board prints; see printing.board_output."""
        return board_output(raw)

    def text_argument(self, text: str) -> str:
        """Return `text`, or for "-" what is on standard input, which is read once."""
        if text != "-":
            return text
        with self._reading:
            return self._standard_input

    @cached_property
    def _standard_input(self) -> str:
        return sys.stdin.read()


def to_stderr(line: str) -> None:
    """Print a line to stderr, cleaned: what a board or a broker said may be in it."""
    click.echo(clean_lines(line), err=True)

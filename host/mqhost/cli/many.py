"""Runs a command for every board that is meant, side by side, and shows together what comes back.

A command of the class `ForMany` is written for one board. Where the line means many, its function
is called once for each of them, in a thread, with an `Edge` that has the settings of that board,
the connection they all share, and a console that keeps what is printed. Other commands refuse.
"""

import _thread
import io
import json
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from mqhost.cli.edge import Edge
from mqhost.cli.sleeping import attending
from mqhost.cli.terminal.printing import Output, clean_lines, json_text, say
from mqhost.cli.terminal.tables import Kept, Listing, Row, show
from mqhost.fleet.choose import choose
from mqhost.fleet.many import AT_ONCE, Answer, Boards, ask_all, questions, worst
from mqhost.fleet.sleepers import Sleepers
from mqhost.link.connection import Connection
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress, silent

Records = Mapping[str, Any]  # what each board said as JSON, by prefix
Table = Callable[[Records], Listing]
_JSON = "as_json"
_PREFIX, _NOTE = "prefix", "note"


class ForMany(click.Command):
    """A command for one board, or for many. `table` lists their records, where a row for each is
    more to look at than what the command prints for one. With one of the parameters that are
    named by `changes` it is for one board only.
    """

    def __init__(
        self,
        *arguments: Any,
        table: Table | None = None,
        changes: Collection[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._table = table
        self._changes = changes

    def invoke(self, context: click.Context) -> Any:
        edge: Edge = context.obj
        if any(context.params[name] for name in self._changes):
            edge.settings.need_prefix()
        if not edge.settings.many:
            return super().invoke(context)
        with edge.connection() as connection:
            boards = choose(connection, edge.settings.many)
            answers = self.side_by_side(edge, connection, boards, context.params)
        raise click.exceptions.Exit(worst(answers))

    def side_by_side(
        self,
        edge: Edge,
        connection: Connection,
        boards: Boards,
        params: Mapping[str, Any],
        at_once: int = AT_ONCE,
    ) -> "list[Answer[_Said]]":
        """Call it with `params` for each of `boards`, `at_once` at a time, and show together what
        comes back; return that.
        """
        as_json = bool(params.get(_JSON))
        asked = dict(params) | ({_JSON: True} if self._table else {})  # for the table
        answers = self._ask(edge, connection, boards, asked, at_once)
        if as_json:
            say(edge.console, json_text(records(answers)))
        elif self._table:
            said = {answer.prefix: answer.value.record() for answer in answers if answer.value}
            failed = [answer for answer in answers if answer.error]
            show(edge.console, _with_notes(self._table(said), failed))
        else:
            _show(edge.console, answers)
        return answers

    def _ask(
        self,
        edge: Edge,
        connection: Connection,
        boards: Boards,
        params: dict[str, Any],
        at_once: int,
    ) -> "list[Answer[_Said]]":
        calls = _Calls()

        def ask(prefix: str) -> _Said:
            one = _OneOfMany(edge, edge.settings.for_one(prefix), connection, calls)
            context = click.Context(self, obj=one)
            context.params = dict(params)
            super(ForMany, self).invoke(context)
            return one.said

        likely = questions(connection, boards)
        with (
            attending(connection, boards) as sleepers,
            waiting(Console(stderr=True), "have answered") as progress,
            edge.first_ctrl_c(lambda: calls.make(sleepers)),
        ):
            return ask_all(boards, ask, at_once, progress, likely, sleepers)


@contextmanager
def waiting(console: Console, done: str) -> Iterator[Progress]:
    """Show on a terminal, while the `with` block runs, how many boards are `done`, in words."""
    if not console.is_terminal:
        yield silent
        return
    with console.status("") as status:

        def show_count(stage: str, number: int, total: int) -> None:
            status.update(f"{number:,} of {total:,} boards {done}")

        yield show_count


class _Said:
    """What a command printed for one board: listings, and text."""

    def __init__(self, console: Kept) -> None:
        self._console = console
        self.output = io.BytesIO()

    @property
    def listings(self) -> list[Listing]:
        return self._console.listings

    @property
    def text(self) -> str:
        """What was printed as text, and as bytes."""
        printed = self._console.file.getvalue()  # type: ignore[attr-defined]
        said = printed + self.output.getvalue().decode("utf-8", "replace")
        return clean_lines(said).rstrip("\n")

    def record(self) -> Any:
        """What was printed as JSON, or else the text."""
        if self.listings:
            return self.listings[0].record
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text


class _Calls:
    """What the first Ctrl-C is to call for each board; where there is nothing, it is the last."""

    def __init__(self) -> None:
        self._calls: dict[int, Callable[[], None]] = {}

    @contextmanager
    def noted(self, call: Callable[[], None]) -> Iterator[None]:
        self._calls[id(call)] = call
        try:
            yield
        finally:
            del self._calls[id(call)]

    def make(self, sleepers: Sleepers | None) -> None:
        """Call them; the `sleepers` that have not woken are not waited for any more."""
        calls = list(self._calls.values())
        for call in calls:
            call()
        if sleepers:
            sleepers.interrupt()
        if not calls:
            _thread.interrupt_main()


class _OneOfMany(Edge):
    """The edge of one board among many."""

    def __init__(
        self, edge: Edge, settings: Settings, connection: Connection, calls: _Calls
    ) -> None:
        super().__init__({}, verbose=False)
        self.debug = edge.debug
        self.settings = settings
        kept = Kept(file=io.StringIO(), width=edge.console.width)
        self.console = kept
        self.said = _Said(kept)
        self._connection = connection
        self._edge = edge
        self._calls = calls

    def session(self) -> Session:
        return Session(self.settings, debug=self.debug, connection=self._connection)

    def first_ctrl_c(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        return self._calls.noted(call)

    def output(self, raw: bool = False) -> Output:
        return self.said.output

    def text_argument(self, text: str) -> str:
        return self._edge.text_argument(text)


def answers_listing(answers: "list[Answer[_Said]]") -> Listing:
    """List what each board has said in a line."""
    rows = [
        [answer.prefix, answer.value.text if answer.value else _error(answer)] for answer in answers
    ]
    return Listing((_PREFIX, "answer"), [rows], records(answers), prose={1}, lean=True)


def records(answers: Sequence[Answer[Any]]) -> dict[str, Any]:
    """Return the JSON of all: the `record()` of what each board said, or the error."""
    return {
        answer.prefix: {"error": str(answer.error), "exit_code": answer.error.exit_code}
        if answer.error
        else answer.value and answer.value.record()
        for answer in answers
    }


def _show(console: Console, answers: list[Answer[_Said]]) -> None:
    """Print what each board has said: one table where all have printed the like of it."""
    said = {answer.prefix: answer.value for answer in answers if answer.value}
    tables = {prefix: one.listings[0] for prefix, one in said.items() if one.listings}
    heads = {tuple(listing.columns) for listing in tables.values()}
    short = all(
        "\n" not in one.text and len(one.listings) + bool(one.text) <= 1 for one in said.values()
    )
    if len(heads) == 1 and short:
        show(console, _with_notes(_joined(tables), answers))
    elif short and not heads:
        show(console, answers_listing(answers))
    else:
        for answer in answers:
            _show_one(console, answer)


def _joined(listings: Mapping[str, Listing]) -> Listing:
    """Make one listing of those of all boards, with their prefixes in front."""
    first = next(iter(listings.values()))
    rows = [
        [(prefix, *row) for row in listing.rows or [[""] * len(first.columns)]]
        for prefix, listing in listings.items()
    ]
    return replace(
        first,
        columns=(_PREFIX, *first.columns),
        sections=rows,
        numbers={number + 1 for number in first.numbers},
        prose={number + 1 for number in first.prose},
        lean=True,
    )


def _with_notes(listing: Listing, answers: list[Answer[_Said]]) -> Listing:
    """Add a row for each board that has no table, with a column for what there is instead."""
    notes = {answer.prefix: _error(answer) for answer in answers if answer.error}
    notes |= {
        answer.prefix: Text(answer.value.text)
        for answer in answers
        if answer.value and not answer.value.listings
    }
    if not notes:
        return listing
    empty = [""] * (len(listing.columns) - 1)
    rows: list[Row] = [(prefix, *empty, note) for prefix, note in notes.items()]
    sections = [[(*row, "") for row in section] for section in listing.sections]
    return replace(
        listing,
        columns=(*listing.columns, _NOTE),
        sections=[*sections, rows],
        prose={*listing.prose, len(listing.columns)},
    )


def _show_one(console: Console, answer: Answer[_Said]) -> None:
    """Print what a board has said below its prefix."""
    say(console, f"{answer.prefix}:")
    if answer.error:
        say(console, _indented(clean_lines(str(answer.error))))
    elif answer.value:
        for listing in answer.value.listings:
            show(console, listing)
        if answer.value.text:
            say(console, _indented(answer.value.text))


def _indented(text: str) -> str:
    return textwrap.indent(text, "  ", lambda line: True)


def _error(answer: Answer[_Said]) -> Text:
    """Return the error for a cell: of a traceback its last line, which says what it is."""
    return Text(clean_lines(str(answer.error)).rstrip().rpartition("\n")[2], "red")

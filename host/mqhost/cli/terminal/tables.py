"""Shows tables: whole for people, however narrow their terminal; as JSON for scripts.

No name is folded or cut. In a pipe a table is as wide as it needs; on a terminal columns of prose
fold between words, and where that is not enough each row becomes a sentence.
"""

import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from mqhost.cli.terminal.printing import clean, json_text, say

Row = Sequence[str | Text]
_UNLIMITED = 100_000


@dataclass(frozen=True)
class Listing:
    """A table: `columns` and `sections` of rows for people, the `record` for scripts.

    Columns of `numbers` stand right, those of `prose` may fold; without any names of columns there
    is no head. `lean`: with few lines, for many columns.
    """

    columns: Sequence[str]
    sections: Sequence[Sequence[Row]]
    record: Any
    title: str = ""
    numbers: Collection[int] = ()
    prose: Collection[int] = ()
    lean: bool = False

    @property
    def rows(self) -> list[Row]:
        """The rows of all sections."""
        return [row for rows in self.sections for row in rows]


class Kept(Console):
    """A console whose tables nobody has seen yet: they are to be shown together with others."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.listings: list[Listing] = []


def show(console: Console, listing: Listing, as_json: bool = False) -> None:
    """Print `listing` on `console`, whole; or its record."""
    if isinstance(console, Kept):
        console.listings.append(listing)
        return
    if as_json:
        say(console, json_text(listing.record))
        return
    console.print(render(console, listing), soft_wrap=True)


def render(console: Console, listing: Listing) -> Table | Text:
    """Return `listing` as it is shown on `console`; in a pipe that becomes as wide as it takes."""
    table = _table(listing)
    if not console.is_terminal:
        console.width = max(console.width, _width(console, table))
    return table if _fit(console, table, listing) else _sentences(console, listing)


def _table(listing: Listing) -> Table:
    columns = [
        Column(name, justify="right" if number in listing.numbers else "left", no_wrap=True)
        for number, name in enumerate(listing.columns)
    ]
    table = Table(
        *columns,
        title=listing.title or None,
        show_header=any(listing.columns),
        box=box.SIMPLE_HEAD if listing.lean else box.HEAVY_HEAD,
        show_edge=not listing.lean,
        padding=0 if listing.lean else (0, 1),
    )
    for rows in listing.sections:
        table.add_section()
        for row in rows:
            table.add_row(*map(_cell, row))
    return table


def _cell(cell: str | Text) -> Text:
    """Return a cell without markup of its own: what is in it may come from a board."""
    return cell if isinstance(cell, Text) else Text(clean(cell))


def _width(console: Console, table: Table) -> int:
    """Return how wide `table` is with all its names in full."""
    return Measurement.get(console, console.options.update(max_width=_UNLIMITED), table).maximum


def _fit(console: Console, table: Table, listing: Listing) -> bool:
    """Return whether `table` fits the console, once its columns of prose are narrower."""
    excess = _width(console, table) - console.width
    texts = {
        number: [listing.columns[number], *(str(row[number]) for row in listing.rows)]
        for number in listing.prose
    }
    widths = {number: max(map(cell_len, cells)) for number, cells in texts.items()}
    least = {
        number: max(map(cell_len, " ".join(cells).split()), default=1)
        for number, cells in texts.items()
    }
    while excess > 0:
        spare = [number for number in widths if widths[number] > least[number]]
        if not spare:
            return False
        widest = max(spare, key=lambda number: widths[number])
        widths[widest] -= 1
        excess -= 1
        table.columns[widest].width, table.columns[widest].no_wrap = widths[widest], False
    return True


def _sentences(console: Console, listing: Listing) -> Text:
    """Write each row as its first cell and what the other columns say, folded between words."""
    text = [clean(listing.title)] if listing.title else []
    for name, *cells in listing.rows:
        named = zip(listing.columns[1:], map(str, cells), strict=True)
        facts = ", ".join(f"{column} {cell}".strip() for column, cell in named if cell)
        text += textwrap.wrap(
            clean(f"{name}: {facts}"),
            console.width,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return Text("\n".join(text))

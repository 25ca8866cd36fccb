"""Makes the list of boards: what is known of them, and what somebody wants to see, become rows.

boards, facts → Row → those that fit `Wish` → sorted → a View, which the templates draw
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import mqwire
from mqhost.errors import UsageError
from mqhost.fleet.presence import Presence
from mqhost.fleet.server.hearing.live import Facts, matching
from mqhost.fleet.where import Where

MOST = 1000  # rows at once, unless more are wished for
_BARS = ((-60, 4), (-70, 3), (-80, 2))  # from so many dBm on, so many bars
_NUMBERS = re.compile(r"\d{1,100}|\D+")  # Python takes its time to read longer ones
_LONGEST, _LONGEST_REMARK = 100, 1000  # characters that are shown of what a board says


@dataclass(frozen=True)
class Row:
    """A board in the list. `since`: when it booted or vanished, a Unix time; `remark`: what is out
    of the ordinary, in words."""

    prefix: str
    online: bool
    state: str
    board: str
    version: str
    mode: str
    rssi: int | None
    since: float | None
    crashes: int
    remark: str

    @classmethod
    def of(cls, board: Presence, facts: Facts | None) -> "Row":
        """Make it of what is known of a board."""
        if facts and (not board.online or board.since and facts.at < board.since):
            facts = None  # it said that in another boot
        rssi, since = _whole(board.status.get("rssi")), board.since
        if facts:
            rssi = facts.rssi if facts.rssi is not None else rssi
            since = facts.at - facts.uptime_s if facts.uptime_s is not None else since
        return cls(
            prefix=board.prefix,
            online=board.online,
            state=board.state,
            board=board.fact("board")[:_LONGEST],
            version=board.fact("version")[:_LONGEST],
            mode=board.fact("mode")[:_LONGEST] if board.online else "",
            rssi=rssi if board.online else None,
            since=since,
            crashes=_whole(board.status.get("crashes")) or 0,
            remark="; ".join(board.remarks)[:_LONGEST_REMARK],
        )

    @property
    def bars(self) -> int:
        """How good the signal is, from 1 to 4."""
        return next((bars for least, bars in _BARS if (self.rssi or 0) >= least), 1)

    @property
    def since_name(self) -> str:
        """What `since` is, in a word."""
        return "" if self.since is None else "up" if self.online else "for"


@dataclass(frozen=True)
class Column:
    """A column that rows are sorted by: `key` tells of a row what counts, None for nothing."""

    word: str
    name: str
    key: Callable[[Row], Any]


def _natural(text: str) -> Any:
    """Return what sorts a name or a version as people do: 0.5.9 before 0.5.10."""
    parts = _NUMBERS.findall(text)
    return [(int(p), "") if p.isascii() and p.isdigit() else (-1, p) for p in parts] or None


_STATES = (mqwire.ONLINE, mqwire.ASLEEP, mqwire.OFFLINE)
COLUMNS = (
    Column("prefix", "Board", lambda row: _natural(row.prefix)),
    Column("board", "Type", lambda row: row.board or None),
    Column("state", "State", lambda row: _STATES.index(row.state)),
    Column("version", "Version", lambda row: _natural(row.version)),
    Column("mode", "Mode", lambda row: row.mode or None),
    Column("rssi", "Signal", lambda row: row.rssi),
    Column("since", "Up for", lambda row: row.since and -row.since),
    Column("remarks", "To look at", lambda row: (-row.crashes, row.remark) if row.remark else None),
)
# Which boards the chips above the list choose.
SHOWN: dict[str, tuple[str, Callable[[Row], bool]]] = {
    "": ("boards", lambda row: True),
    "online": ("online", lambda row: row.online),
    "asleep": ("asleep", lambda row: row.state == mqwire.ASLEEP),
    "offline": ("offline", lambda row: row.state == mqwire.OFFLINE),
    "look": ("to look at", lambda row: row.online and bool(row.remark)),
    "safe": ("in safe mode", lambda row: row.mode == "safe"),
}


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see: `q` is a part of names, `where` a condition, `group` one of
    mqboard.toml, `show` a key of SHOWN, `sort` a column's word, with a "-" before it the other way
    round; `most`: rows."""

    q: str = ""
    where: str = ""
    group: str = ""
    show: str = ""
    sort: str = ""
    most: int = MOST

    def query(self, **changes: Any) -> dict[str, str]:
        """Return it as the parameters of an address, the usual ones left out."""
        wish = replace(self, **changes)
        names = ("q", "where", "group", "show", "sort")
        found = {name: getattr(wish, name) for name in names}
        if wish.most != MOST:
            found["most"] = str(wish.most)
        return {name: text for name, text in found.items() if text}

    def test(
        self, boards: Sequence[Presence], groups: Callable[[str], Sequence[str]]
    ) -> Callable[[Presence], bool]:
        """Return the test whether search, condition and group hold for a board; `groups` gives the
        patterns of one. UsageError for a condition or a group that is none."""
        inside = [matching(pattern) for pattern in groups(self.group)] if self.group else []
        words = self.q.lower().split()
        condition = Where.parse(self.where) if self.where.strip() else None
        if condition:
            condition.check(boards)

        def holds(board: Presence) -> bool:
            said = f"{board.prefix} {board.fact('board')} {board.fact('version')}".lower()
            if not all(word in said for word in words):
                return False
            if self.group and not any(test(board.prefix) for test in inside):
                return False
            return condition is None or condition.matches(board)

        return holds


@dataclass(frozen=True)
class Chip:
    """A choice above the list, and how many boards it is."""

    name: str
    count: int
    chosen: bool
    query: dict[str, str]


@dataclass(frozen=True)
class Head:
    """A column's head; `direction` for the one that is sorted by, `query` sorts by it."""

    name: str
    direction: str
    query: dict[str, str]


@dataclass(frozen=True)
class View:
    """The list as it is drawn. `total`: how many boards there are at all."""

    wish: Wish
    query: dict[str, str]
    rows: Sequence[Row]
    chips: Sequence[Chip]
    columns: Sequence[Head]
    sorted_by: str
    total: int
    left_out: int
    everything: dict[str, str]
    error: str = ""

    @property
    def mark(self) -> str:
        """What is another one for another list: whether a list is still right is known by it."""
        return f"{crc32(repr(self.rows).encode()):08x}"


def view(
    boards: Sequence[Presence],
    facts: Callable[[str], Facts | None],
    wish: Wish,
    groups: Callable[[str], Sequence[str]] = lambda name: (),
) -> View:
    """Make the list that `wish` is for, where `groups` gives the patterns of one; a condition or a
    group that is none is told in it."""
    error, found = "", []
    try:
        holds = wish.test(boards, groups)
        found = [Row.of(board, facts(board.prefix)) for board in boards if holds(board)]
    except UsageError as wrong:
        error = str(wrong)
    shown = [row for row in found if SHOWN.get(wish.show, SHOWN[""])[1](row)]
    column, backwards = _sorting(wish.sort)
    ordered = _sort(shown, column, backwards)
    return View(
        wish=wish,
        query=wish.query(),
        rows=ordered[: wish.most],
        chips=chips(found, wish),
        columns=[_head(one, column, backwards, wish) for one in COLUMNS],
        sorted_by=column.name,
        total=len(boards),
        left_out=max(0, len(ordered) - wish.most),
        everything=wish.query(most=10**6),
        error=error,
    )


def chips(found: Iterable[Row], wish: Wish) -> list[Chip]:
    """Count the boards of each choice; a choice that is empty is not offered."""
    rows = list(found)
    made = []
    for word, (name, holds) in SHOWN.items():
        count = sum(map(holds, rows))
        if count or word in ("", wish.show):
            plural = "board" if not word and count == 1 else name
            made.append(Chip(plural, count, word == wish.show, wish.query(show=word)))
    return made


def _sorting(text: str) -> tuple[Column, bool]:
    word = text.removeprefix("-")
    column = next((one for one in COLUMNS if one.word == word), COLUMNS[0])
    return column, text.startswith("-")


def _sort(rows: Iterable[Row], column: Column, backwards: bool) -> list[Row]:
    """Sort; rows of which the column says nothing come last, either way."""
    by_name = sorted(rows, key=lambda row: COLUMNS[0].key(row) or [])
    keyed = [(column.key(row), row) for row in by_name]
    told = [pair for pair in keyed if pair[0] is not None]
    told.sort(key=lambda pair: pair[0], reverse=backwards)
    return [row for _, row in told] + [row for key, row in keyed if key is None]


def _head(one: Column, sorted_by: Column, backwards: bool, wish: Wish) -> Head:
    if one is not sorted_by:
        return Head(one.name, "", wish.query(sort=one.word))
    turned = one.word if backwards else f"-{one.word}"
    return Head(one.name, "descending" if backwards else "ascending", wish.query(sort=turned))


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None

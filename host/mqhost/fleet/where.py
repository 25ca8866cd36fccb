"""Picks boards by what they say of themselves: `board==esp32 and version<0.5`.

    text → tokens → a test of the facts of a board: its retained status, and its prefix

A condition compares a fact with a value: == != < <= > >=, `in (a, b)`, or ~ with a pattern, as in
`version ~ 0.5.*`; `and`, `or`, `not` and parentheses join conditions. A fact inside another one is
written with a dot, `app.version`. A bare value is what the fact is: a number beside a number, a
version beside a version (0.5.9 < 0.5.10; 0.5-rc1 < 0.5 < 0.5+3.gabc), or else text. In quotes it is
text, letter by letter. A fact that a board does not say, or that cannot be compared so, matches
nothing but `!=` and `not`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from mqhost.errors import UsageError
from mqhost.fleet.presence import Presence

Facts = Mapping[str, Any]
Test = Callable[[Facts], bool]

# What docs/protocol.md says that a status can have; below the open ones are names of anybody's.
DOCUMENTED = (
    *("prefix", "state", "protocol", "board", "mcu", "version", "commit", "built", "boot_id"),
    *("image", "slot", "slot_state", "mode", "reset_cause", "signing", "id", "twin", "rssi"),
    *("failed.image", "failed.version", "failed.code", "failed.reason"),
    *("disabled", "crashes", "storage"),
    *("config.id", "config.state", "config.code", "config.reason"),
    *("app.id", "app.name", "app.version", "app.state", "app.failed.id", "app.failed.name"),
    *("app.failed.version", "app.failed.code", "app.failed.reason", "auth", "reason", "at"),
    *("power.period_s", "power.volts", "power.empty"),
)
_OPEN = ("disabled.",)

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*"|'[^']*')"""
    r"""|(?P<sign>==|!=|<=|>=|[<>~(),])"""
    r"""|(?P<word>[^\s"'()<>=!~,]+)"""
    r"""|(?P<other>\S))"""
)
_KEYWORDS = ("and", "or", "not", "in")
_ORDERS: dict[str, Callable[[int | None], bool]] = {
    "==": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order == -1,
    "<=": lambda order: order in (-1, 0),
    ">": lambda order: order == 1,
    ">=": lambda order: order in (0, 1),
}
_FACT = "a fact, as board or app.version"
_VALUE = "a value, as esp32, 0.5.1 or 'two words'"
_MATCH = "~"
_COMPARISON = f"{' '.join(_ORDERS)} {_MATCH} or in"
_DEEPEST = 50  # parentheses and nots inside each other
_NUMBER = re.compile(r"-?[0-9]{1,300}(?:\.[0-9]{1,300})?")
_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(.*)", re.DOTALL)
_LONGEST_VERSION = 100  # characters: Python takes its time to read numbers of thousands of digits


@dataclass(frozen=True)
class Where:
    """A condition, as it was written in `text`. `names`: the facts in it, and their columns."""

    text: str
    names: Mapping[str, int]
    _test: Test = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Where":
        """Make it; UsageError saying in which column what was expected."""
        parser = _Parser(text)
        return cls(text, parser.names, parser.test)

    def matches(self, board: Presence) -> bool:
        """Return whether it holds for `board`."""
        return self._test(_facts(board))

    def check(self, boards: Iterable[Presence]) -> None:
        """Raise UsageError for a fact that neither the documents know nor one of `boards` says,
        with those that are called alike.
        """
        known = {*DOCUMENTED, *(name for board in boards for name in _names(_facts(board)))}
        for name, column in self.names.items():
            if name in known or name.startswith(_OPEN):
                continue
            near = get_close_matches(name, known, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else _all(known)
            raise UsageError(
                f"column {column} of {self.text!r:.200}: no board says anything of {name:.60}. "
                f"{hint}"
            )


def _all(names: Iterable[str]) -> str:
    return f"They do of {', '.join(sorted(names))}."


def _facts(board: Presence) -> Facts:
    return board.status | {"prefix": board.prefix}


def _names(facts: Facts) -> Iterable[str]:
    """Yield the names of `facts`, and of those in them."""
    for name, value in facts.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inside}" for inside in value)


def _pick(facts: Facts, name: str) -> Any:
    """Return what `facts` say under the dotted `name`, None for nothing."""
    value: Any = facts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class _Value:
    """A value as it was written: in quotes it is text and nothing else."""

    text: str
    quoted: bool

    def order(self, fact: Any) -> int | None:
        """Return -1, 0 or 1 if `fact` is less than it, equal or more; None if they cannot be
        compared.
        """
        if isinstance(fact, bool):
            return 0 if self.text == _plain(fact) else None
        if isinstance(fact, (int, float)):
            number = None if self.quoted else _number(self.text)
            return _order(fact, number) if number is not None else None
        if not isinstance(fact, str):
            return None
        version = None if self.quoted else _version(self.text)
        if version is None or fact == self.text:
            return _order(fact, self.text)
        said = _version(fact)
        return None if said is None else _order(said, version)


def _order(one: Any, other: Any) -> int | None:
    if one == other:
        return 0
    return -1 if one < other else 1 if one > other else None  # NaN


def _plain(fact: Any) -> str | None:
    """Return a fact as a pattern sees it, None if it is nothing that can be written in a word."""
    if isinstance(fact, bool):
        return str(fact).lower()
    return str(fact) if isinstance(fact, (str, int, float)) else None


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def _version(text: str) -> tuple[Any, ...] | None:
    """Return what sorts the version `text`, None if it is none: its numbers, and behind them what
    comes before them, as -rc1, or after, as +3.gabc.
    """
    found = _VERSION.fullmatch(text) if len(text) <= _LONGEST_VERSION else None
    if not found:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()  # 0.5.0 is 0.5
    rest = [
        (1, int(part), "") if part.isdigit() else (0, 0, part)
        for part in re.findall(r"[0-9]+|[^0-9]+", found[2])
    ]
    after = 0 if not rest else 1 if found[2][0] in "+." else -1
    return tuple(numbers), after, rest


class _Parser:
    """Makes of `text` its `test`, by recursive descent; `names` are the facts and their columns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_TOKEN.finditer(text))
        self._next = 0
        self._depth = 0
        self.names: dict[str, int] = {}
        self.test = self._either()
        if self._kind:
            raise self._wrong("'and', 'or' or the end")

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or"):
            tests.append(self._both())
        return lambda facts: any(test(facts) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("and"):
            tests.append(self._one())
        return lambda facts: all(test(facts) for test in tests)

    def _one(self) -> Test:
        if self._depth > _DEEPEST:
            raise self._wrong(f"no more than {_DEEPEST} conditions inside each other")
        self._depth += 1
        try:
            if self._take("not"):
                test = self._one()
                return lambda facts: not test(facts)
            if self._take("("):
                test = self._either()
                self._need(")", "'and', 'or' or ')'")
                return test
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Test:
        if self._kind != "word" or self._word in _KEYWORDS:
            raise self._wrong(f"{_FACT}, 'not' or '('")
        name = self._word
        self.names.setdefault(name, self._column)
        self._next += 1
        if self._take("in"):
            values = self._list()
            return lambda facts: any(value.order(_pick(facts, name)) == 0 for value in values)
        if self._take(_MATCH):
            pattern = self._value().text
            return lambda facts: _fits(_pick(facts, name), pattern)
        for sign, holds in _ORDERS.items():
            if self._take(sign):
                value = self._value()
                return lambda facts: holds(value.order(_pick(facts, name)))
        raise self._wrong(_COMPARISON)

    def _list(self) -> list[_Value]:
        self._need("(", "'(' and values")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")", "',' or ')'")
        return values

    def _value(self) -> _Value:
        quoted = self._kind == "text"
        if not quoted and (self._kind != "word" or self._word in _KEYWORDS):
            raise self._wrong(_VALUE)
        word = self._word
        self._next += 1
        return _Value(word[1:-1] if quoted else word, quoted)

    # Tokens

    @property
    def _kind(self) -> str | None:
        return self._tokens[self._next].lastgroup if self._next < len(self._tokens) else None

    @property
    def _word(self) -> str:
        return self._tokens[self._next][self._kind or 0]

    @property
    def _column(self) -> int:
        """Where the next token is, counted from 1; where it would be, if there is none."""
        if not self._kind:
            return len(self._text.rstrip()) + 1
        return self._tokens[self._next].start(self._kind) + 1

    def _take(self, word: str) -> bool:
        """Go on behind the next token if it is `word`; return whether it is."""
        found = self._kind in ("word", "sign") and self._word == word
        self._next += found
        return found

    def _need(self, word: str, expected: str) -> None:
        if not self._take(word):
            raise self._wrong(expected)

    def _wrong(self, expected: str) -> UsageError:
        there = "there is nothing more"
        if self._kind:
            there = f"there is {self._word:.60}"
        if self._kind == "other" and self._word in "\"'":
            there = f"there is {self._word} that is not closed"
        return UsageError(
            f"column {self._column} of {self._text!r:.200}: expected {expected}; {there}."
        )


def _fits(fact: Any, pattern: str) -> bool:
    plain = _plain(fact)
    return plain is not None and fnmatchcase(plain, pattern)

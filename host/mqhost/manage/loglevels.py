"""Asks a board for its loggers and their levels, and changes these: the command `log`."""

import json
from dataclasses import dataclass
from typing import Any

from mqhost.errors import BoardError, UsageError
from mqhost.link.session import Session
from mqwire.config import LOG_LEVELS

DEFAULT = "default"  # in place of a level: what the configuration says


@dataclass(frozen=True)
class Levels:
    """The levels of a board until its next boot: of all loggers, and by name those that have one
    of their own, or None. `record` is what the board said.
    """

    level: str
    loggers: dict[str, str | None]
    record: dict[str, Any]

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Levels":
        """Take a board's answer apart; BoardError if it is none."""
        level, loggers = record.get("level"), record.get("levels")
        if not isinstance(level, str) or not isinstance(loggers, dict):
            raise BoardError(f"The board's answer to log makes no sense: {json.dumps(record)[:60]}")
        own = {name: None if said is None else str(said) for name, said in loggers.items()}
        return cls(level, own, record)


@dataclass(frozen=True)
class Wish:
    """A level that somebody wishes for a logger, None: for all; `level` None: as configured."""

    logger: str | None
    level: str | None

    @classmethod
    def parse(cls, text: str) -> "Wish":
        """Make it from LEVEL or LOGGER=LEVEL; UsageError if there is no such level."""
        logger, equals, level = text.rpartition("=")
        if level not in (*LOG_LEVELS, DEFAULT) or equals and not logger:
            known = ", ".join((*LOG_LEVELS, DEFAULT))
            raise UsageError(
                f"{text!r:.60} is no level. Write --level LEVEL for all loggers or --level "
                f"LOGGER=LEVEL for one; levels are {known}."
            )
        return cls(logger or None, None if level == DEFAULT else level)

    def body(self) -> bytes:
        """Return the command's body."""
        if self.logger:
            wish: dict[str, Any] = {"levels": {self.logger: self.level}}
        elif self.level:
            wish = {"level": self.level}
        else:
            wish = {"level": None, "levels": None}
        return json.dumps(wish).encode()


def levels_of(session: Session) -> Levels:
    """Return the levels of the board."""
    return Levels.of(session.request_json("log"))


def change(session: Session, wishes: list[Wish]) -> Levels:
    """Change levels, one wish after the other; return how they are then."""
    for wish in wishes:
        record = session.request_json("log", wish.body())
    return Levels.of(record)

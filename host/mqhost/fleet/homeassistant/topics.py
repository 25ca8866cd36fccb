"""Names the topics by which Home Assistant and a bridge speak of boards.

All but the discovery are below mqboard/<discovery prefix>, and none below a board's own prefix: so
a rule of the broker can give Home Assistant these alone, and no board can press a button. They go
by the board's hardware id, and stay when a board gets another prefix.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import mqwire
from mqhost.errors import UsageError
from mqwire import names
from mqwire.twins import MAX_ID

PREFIX = "homeassistant"  # by default, there as here
INSTALL, RESTART = "install", "restart"
COMMANDS = (INSTALL, RESTART)

# The characters that Home Assistant takes in the id of a discovery topic.
_ID = re.compile(r"[A-Za-z0-9_-]+")
_OBJECT = "mqboard_"


@dataclass(frozen=True)
class Topics:
    """The topics of all that is about the discovery prefix `discovery`."""

    discovery: str = PREFIX

    def __post_init__(self) -> None:
        try:
            names.check_text(self.discovery, mqwire.MAX_PREFIX)
        except mqwire.WireError as error:
            raise UsageError(f"The discovery prefix cannot be used: {error}.") from error
        levels = self.discovery.split("/")
        if "" in levels or {"+", "#"} & set(self.discovery) or self.discovery.startswith("$"):
            raise UsageError(
                f"{self.discovery!r:.60} is no discovery prefix: give the one that Home Assistant "
                f"has, {PREFIX} unless somebody changed it."
            )

    @property
    def root(self) -> str:
        """What our own topics begin with."""
        return f"mqboard/{self.discovery}"

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it is there."""
        return f"{self.discovery}/status"

    @property
    def bridge(self) -> str:
        """Where the last that happened to a bridge is retained: it came, or left."""
        return f"{self.root}/bridge"

    @property
    def bridges(self) -> str:
        """Where bridges tell each other that they are alive."""
        return f"{self.root}/bridges"

    def config(self, ident: str) -> str:
        """Where the device `ident` is described; "+" for all."""
        return f"{self.discovery}/device/{ident if ident == '+' else _OBJECT + ident}/config"

    def described(self, topic: str) -> str:
        """Return the device that `topic` describes, "" if it is none of ours."""
        head, tail = f"{self.discovery}/device/{_OBJECT}", "/config"
        ident = topic.removeprefix(head).removesuffix(tail)
        return ident if topic == head + ident + tail and _ID.fullmatch(ident) else ""

    def of(self, ident: str, what: str) -> str:
        """Where `what` is of the device `ident`: state, update, or a command."""
        return f"{self.root}/{ident}/{what}"

    def parse(self, topic: str) -> tuple[str, str]:
        """Return the device that `topic` is about, and what of it; ("", "") if about none."""
        head, _, what = topic.rpartition("/")
        root, _, ident = head.rpartition("/")
        return (ident, what) if root == self.root and _ID.fullmatch(ident) else ("", "")


def ident_of(prefix: str, status: dict[str, Any]) -> str:
    """Return what the device of a board is called: by its hardware id; by its prefix, if its
    firmware is so old that it says none.
    """
    said = status.get("id")
    if isinstance(said, str) and len(said) <= MAX_ID and _ID.fullmatch(said):
        return said
    return "at_" + hashlib.sha256(prefix.encode()).hexdigest()[:16]


def unique(ident: str, what: str = "") -> str:
    """Return the name by which Home Assistant knows the device, or an entity of it, for ever."""
    return f"{_OBJECT}{ident}" + (f"_{what}" if what else "")

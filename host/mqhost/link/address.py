"""Decides where commands for a board go: to its prefix, or to one of two boards that share it.

Boards that have the same prefix by mistake tell of each other in their births (`id` and `twin`).
Both would take a command, so none is sent until one of them is named.
"""

from typing import Any

import mqwire
from mqhost.errors import RefusedError
from mqhost.link.settings import command_line
from mqwire.twins import MAX_ID, UNKNOWN, own_root


class Address:
    """The board at `prefix` that is meant: the only one, or the one whose id begins with `wanted`.

    It learns from every status which boards there are, in whichever thread.
    """

    def __init__(self, prefix: str, wanted: str = "") -> None:
        self.prefix = prefix
        self.wanted = wanted
        self._ids: frozenset[str] = frozenset()  # of the boards that are there
        self._live = False  # we have heard one of them speak
        self._held = False  # `wanted` is a board that has answered us

    def hear(self, status: dict[str, Any] | None, retained: bool = True) -> bool:
        """Take a status; return whether it is that of the board that is meant."""
        status = status or {}
        who = _id(status.get("id"))
        if who == UNKNOWN and self._held:
            who = self.wanted  # it has been given firmware that does not say its id
        if status.get("state") == mqwire.ONLINE:
            if retained or not self._live:
                self._ids = frozenset()  # what is retained may be the word of a board long gone
            self._live = self._live or not retained
            self._ids |= {who}
            if status.get("twin"):
                self._ids |= {_id(status["twin"])}
        else:
            self._ids -= {who}
        return who.startswith(self.wanted)

    def hold_to(self, board_id: str) -> None:
        """From now on mean the board with that id, which has answered a command."""
        self.wanted, self._held = board_id, True
        if len(self._ids) == 1:
            # The retained status was that of an earlier boot, or of a board that was there before.
            self._ids = frozenset((board_id,))

    def root(self) -> str:
        """Return what the topics of commands begin with; RefusedError if it is not clear whom they
        would reach, or it would not be the board that is meant.
        """
        ids = self._ids  # the network thread changes them
        names = " and ".join(sorted(ids))
        found = [name for name in ids if name.startswith(self.wanted)]
        if len(ids) > 1 and not self.wanted:
            choice = command_line(self.prefix, f"--id {min(ids)} config set prefix=NEW")
            raise RefusedError(
                f"Two boards have the prefix {self.prefix}: {names}. Nothing was sent, for both "
                f"would take it. Give one of them another prefix: {choice}"
            )
        if ids and (len(found) != 1 or (UNKNOWN in found and self.wanted)):
            raise RefusedError(
                f"No one board at {self.prefix} is {self.wanted}: there is {names}. Nothing was "
                "sent."
            )
        return own_root(self.prefix, found[0]) if len(ids) > 1 else self.prefix


def _id(value: Any) -> str:
    """Return the id that a board says; UNKNOWN if it says none, or none that a topic can have."""
    known = isinstance(value, str) and value.isascii() and value.isalnum()
    return value if known and len(value) <= MAX_ID else UNKNOWN

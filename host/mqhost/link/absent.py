"""Says that a board is not there, or silent: what is known of it, and what to do about that.

All of it is what the broker tells: the board's last status, and which prefixes are like its own.
"""

from typing import Any, Protocol

import mqwire
from mqhost.errors import BrokerError, SilentBoardError, ToolError
from mqhost.link.connection import Connection
from mqhost.link.roster import is_away, meant, offline_text


class Contact(Protocol):
    """What is known of the board of a session."""

    prefix: str
    connection: Connection
    shared: bool  # the connection is that of sessions with many boards, whose prefixes are known

    @property
    def last_status(self) -> dict[str, Any] | None:
        """The board's last status, as far as it is known."""

    @property
    def board_id(self) -> str:
        """The hardware id of the board that is meant, "" while nobody asked for it."""


def absence(contact: Contact) -> str:
    """Return the sentence for a board that is not there by its last status; "" if it is."""
    status = contact.last_status
    if status is None:
        return _nobody(contact)
    online = status.get("state") == mqwire.ONLINE
    return "" if online else f"{contact.prefix} is {offline_text(status)}."


def advice(contact: Contact) -> str:
    """Say what to do about a board that is not there by its last status."""
    if (contact.last_status or {}).get("state") == mqwire.ASLEEP:
        return "Nothing was sent. With mqboard --wait it is waited for, and kept awake."
    if contact.last_status is None:
        return "One that announces nothing is waited for with --timeout 10."
    return "Check its power and network; with --timeout 60 it is waited for so long."


def silence(contact: Contact, waited: float) -> ToolError:
    """Make the error for a board that did not answer within `waited` seconds."""
    connection = contact.connection
    if not connection.connected:
        return BrokerError(
            f"The connection to the broker {connection.settings.where} is lost"
            + (f": {connection.failure}" if connection.failure else ".")
        )
    status = contact.last_status
    text = f"No answer from {contact.prefix} within {waited:g} s"
    if status is None and contact.board_id:
        return SilentBoardError(f"{text}, nor a status of the board {contact.board_id}.")
    if status is None:
        return SilentBoardError(f"{text}. {_nobody(contact)}")
    if is_away(status):
        return SilentBoardError(
            f"{text}: the board is {offline_text(status)}, says the broker. "
            + (
                "Check its power and network."
                if status.get("state") == mqwire.OFFLINE
                else "With mqboard --wait it is waited for, and kept awake."
            )
        )
    return SilentBoardError(
        f"{text}, though its status says {status.get('state')!s:.20}. It may be busy: try a "
        "longer --timeout; mqboard cancel --all ends code that holds it up. Or the broker's "
        "rules keep your commands from it."
    )


def _nobody(contact: Contact) -> str:
    """Say that no board has announced itself here, and which prefixes are like this one."""
    # Of many boards that are silent each would have all statuses sent once more.
    (question,) = ("",) if contact.shared else meant(contact.connection, contact.prefix)
    return (
        f"No board has announced itself at {contact.prefix}.{question} Is the prefix right, and "
        f"does the board use this broker, {contact.connection.settings.where}?"
    )

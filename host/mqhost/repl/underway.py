"""Tells what code runs on a board, and ends it."""

from dataclasses import dataclass

from mqhost.link.session import Session


@dataclass(frozen=True)
class Command:
    """Code that runs on a board: the id of its command, what it is, and for how many seconds."""

    ident: str
    text: str
    seconds: int


def cancel_words(ident: str) -> str:
    """Return the words behind `mqboard` that end the command `ident`, which other tools may have
    named so that it looks like an option.
    """
    return f"cancel -- {ident}" if ident.startswith("-") else f"cancel {ident}"


def under_way(session: Session, timeout: float | None = None) -> list[Command]:
    """Return what runs on the board, the oldest first; BoardError for firmware that cannot tell,
    SilentBoardError after `timeout` seconds, as while code holds the board up.
    """
    told = session.request_json("running", timeout=timeout).get("running")
    found = []
    for each in told if isinstance(told, list) else []:
        if isinstance(each, dict) and isinstance(each.get("id"), str):
            seconds = each.get("s")
            whole = seconds if isinstance(seconds, int) else 0
            found.append(Command(each["id"], str(each.get("text", "")), whole))
    return found


def cancel(session: Session, ident: str = "") -> None:
    """End the command `ident`, or without one all of them and a transfer.

    A board that code holds up hears this, too, and nothing else. Firmware that cannot tell what is
    `under_way` would end a transfer in any case. Code may catch it and go on: then it is still
    under way.
    """
    session.request("cancel", b"" if ident else b"all", ident)

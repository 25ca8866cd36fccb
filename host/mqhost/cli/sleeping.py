"""Says which of many boards are asleep, and has those waited for that a line with --wait means.

All of it goes to stderr: what the boards say, as a table or JSON, is what is printed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mqhost.cli.edge import to_stderr
from mqhost.fleet.many import Boards, asleep
from mqhost.fleet.sleepers import Sleepers
from mqhost.link.connection import Connection
from mqhost.link.roster import asleep_text

_SHOWN = 10  # boards that a sentence names; of more it says how many


@contextmanager
def attending(connection: Connection, boards: Boards) -> Iterator[Sleepers | None]:
    """Say which of `boards` are asleep; give what waits for them if --wait says so, for ask_all().
    In the end say who was waited for, and who did not wake.
    """
    sleeping = asleep(boards)
    if not sleeping or not connection.settings.wait:
        if sleeping:
            to_stderr(left_out(boards).strip())
        yield None
        return
    sleepers = Sleepers(connection, sleeping)
    limit = sleepers.longest
    to_stderr(f"Waiting for {_named(_each(boards))}; up to {limit:,.0f} s. All others go on.")
    try:
        yield sleepers
    finally:
        if sleepers.waited:
            waited = [f"{prefix} for {s:,.0f} s" for prefix, s in sleepers.waited.items()]
            to_stderr(f"Waited for {_named(waited)}.")
        if sleepers.missed:
            to_stderr(f"Nothing was sent to {_named(sleepers.missed)}: not woken in time.")


def left_out(boards: Boards) -> str:
    """Say which of `boards` are left out since they are asleep, and until when; "" if none is."""
    each = _each(boards)
    return f" Left out: {_named(each)}. With mqboard --wait they are waited for." if each else ""


def _each(boards: Boards) -> list[str]:
    return [f"{prefix}, {asleep_text(one.status)}" for prefix, one in asleep(boards).items()]


def _named(texts: Sequence[str]) -> str:
    """Name the first few of `texts`, and say how many more there are."""
    more = f"; and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more

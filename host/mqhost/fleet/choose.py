"""Chooses boards of a broker: by prefixes and patterns, and by what they say of themselves."""

from collections.abc import Sequence

from mqhost.errors import SilentBoardError
from mqhost.fleet.many import Boards, call_roll
from mqhost.fleet.where import Where
from mqhost.link.connection import Connection


def choose(connection: Connection, patterns: Sequence[str], where: Where | None = None) -> Boards:
    """Return the boards at `patterns` for which `where` holds, by prefix, sorted.

    None stands for a prefix that is given in full, and where nobody has announced himself: no
    condition holds for that. Raises SilentBoardError if there is no board left, UsageError for a
    fact that there is not.
    """
    boards = call_roll(connection, patterns)
    known = {prefix: board for prefix, board in boards.items() if board}
    at = "" if "#" in patterns else f" at {' or '.join(patterns)}"
    if not boards or where and not known:
        raise SilentBoardError(
            f"No board{at} has announced itself at the broker {connection.settings.where}. "
            "mqboard boards lists those that have."
        )
    if where is None:
        return boards
    where.check(known.values())
    found: Boards = {prefix: board for prefix, board in known.items() if where.matches(board)}
    if not found:
        raise SilentBoardError(
            f"There is no board{at} for which {where.text!r:.200} holds, among {len(known):,}. "
            "mqboard boards --json shows what they say."
        )
    return found

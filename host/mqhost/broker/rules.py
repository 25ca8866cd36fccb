"""Makes mosquitto's access rules: who may read and write which topics.

A board has everything below its prefix, reads the blocks of broadcasts, and has nothing else. An
operator has what a role needs, below the prefixes that it is for: LOGS reads, UPDATE also sends
firmware, REPL sends any command, and with eval that is everything the board can do.

What is not allowed is silently dropped: mosquitto grants any subscription and acknowledges any
message, and delivers what the rules let through (mosquitto.conf(5), acl_file).
"""

from collections.abc import Iterable

import mqwire
from mqhost.broker.access import LOGS, REPL, UPDATE, Access, Board, Operator, Site
from mqhost.link.roster import ALL
from mqwire import blocks_topic, waiting
from mqwire.twins import own_root
from mqwire.update import STREAM_ROOT

READ, WRITE, BOTH = "read", "write", "readwrite"
Rule = tuple[str, str]  # one of these, and a topic filter

# The commands that bring new firmware onto a board: what mqboard ota and mqboard rollback send.
UPDATE_COMMANDS = ("info", "update", "cancel", "rollback")

# Where the blocks of broadcasts travel. A board takes from there what it was told of only, and
# checks it.
STREAMS = blocks_topic(STREAM_ROOT, "#")


def board_rules(board: Board, site: Site) -> list[Rule]:
    """Return what `board` may do."""
    rules = [(BOTH, f"{prefix}/#") for prefix in board.prefixes]
    rules += [(READ, topic) for topic in (STREAMS, *site.broadcast, *board.read)]
    return rules + [(WRITE, topic) for topic in board.write]


def operator_rules(operator: Operator, boards: Iterable[Board], site: Site) -> list[Rule]:
    """Return what `operator` may do with `boards`."""
    rules: list[Rule] = []
    for prefix in filters(operator.prefixes, boards):
        if REPL in operator.roles:
            rules += _repl(prefix)
            continue
        if UPDATE in operator.roles or LOGS in operator.roles:
            rules += _logs(prefix)
        if UPDATE in operator.roles:
            rules += _update(prefix)
    if UPDATE in operator.roles or REPL in operator.roles:
        rules += [(WRITE, topic) for topic in (STREAMS, *site.broadcast)]
    rules += [(READ, topic) for topic in operator.read]
    rules += [(WRITE, topic) for topic in operator.write]
    return list(dict.fromkeys(rules))


def filters(patterns: Iterable[str], boards: Iterable[Board]) -> list[str]:
    """Return filters for the prefixes that match `patterns`, that can be followed by the rest of a
    topic: a # becomes as many levels as the prefixes of `boards` have that match.
    """
    prefixes = [prefix.split("/") for board in boards for prefix in board.prefixes]
    found = []
    for pattern in patterns:
        levels = pattern.split("/")
        if levels[-1] != ALL:
            found.append(pattern)
            continue
        fixed = levels[:-1]
        depths = {len(prefix) for prefix in prefixes if _matches(fixed, prefix)}
        found += ["/".join(fixed + ["+"] * (depth - len(fixed))) for depth in sorted(depths)]
    return list(dict.fromkeys(found))


def matching(pattern: str, boards: Iterable[Board]) -> list[Board]:
    """Return those of `boards` of which a prefix matches `pattern`."""
    levels = pattern.split("/")
    deep = levels[-1] == ALL
    fixed = levels[:-1] if deep else levels
    return [
        board
        for board in boards
        if any(
            _matches(fixed, prefix) and (deep or len(prefix) == len(fixed))
            for prefix in (one.split("/") for one in board.prefixes)
        )
    ]


def commanded(operator: Operator, boards: Iterable[Board]) -> list[Board]:
    """Return those of `boards` to which `operator` may send commands."""
    if not {UPDATE, REPL} & set(operator.roles):
        return []
    known = list(boards)
    found = [board for pattern in operator.prefixes for board in matching(pattern, known)]
    return list(dict.fromkeys(found))


def acl(access: Access) -> str:
    """Return the text of the access rules, for mosquitto's acl_file."""
    lines = [
        "# Who may read and write which topics. Made by mqboard broker-config: do not edit, your",
        "# changes belong into the file that it reads. mosquitto drops silently what is not here.",
    ]
    for board in access.boards:
        lines += _section(board.name, board_rules(board, access.site))
    for operator in access.operators:
        lines += ["", f"# {', '.join(operator.roles)}: {' '.join(operator.prefixes)}"]
        lines += _section(operator.name, operator_rules(operator, access.boards, access.site))[1:]
    return "\n".join(lines) + "\n"


def _section(name: str, rules: Iterable[Rule]) -> list[str]:
    return ["", f"user {name}", *(f"topic {access} {topic}" for access, topic in rules)]


def _logs(prefix: str) -> list[Rule]:
    return [
        (READ, mqwire.status_topic(prefix)),
        (READ, mqwire.log_topic(prefix)),
        (READ, mqwire.crash_topic(prefix)),
    ]


def _update(prefix: str) -> list[Rule]:
    roots = (prefix, own_root(prefix, "+"))
    commands = [
        (WRITE, mqwire.command_topic(root, command, "+"))
        for root in roots
        for command in UPDATE_COMMANDS
    ]
    return [
        *commands,
        (WRITE, mqwire.blocks_topic(prefix, "+")),
        (BOTH, waiting.topic(prefix)),
        (READ, mqwire.reply_topic(prefix, "+")),
        (READ, mqwire.error_topic(prefix, "+")),
    ]


def _repl(prefix: str) -> list[Rule]:
    # Not the whole prefix: +/# would be the boards of deeper prefixes, too.
    return [
        (BOTH, f"{prefix}/mqb/#"),
        (READ, mqwire.log_topic(prefix)),
        (BOTH, f"{prefix}/repl/#"),
    ]


def _matches(fixed: list[str], prefix: list[str]) -> bool:
    """Return whether `prefix` begins with the levels `fixed`, of which + is any."""
    if len(prefix) < len(fixed):
        return False
    return all(want in ("+", level) for want, level in zip(fixed, prefix, strict=False))

"""Defines a line of the log: `I 12.345 mqtt: message`, which people read and tools take apart.

In front stands the level's letter; then the time, in UTC (`2026-05-01T12:00:00Z`) once the board's
clock is trusted and before that in seconds since its start; then the logger's name. What a board
prints without a logger comes as it is, and so do the further lines of a message, as a traceback's.
"""

from mqwire.config import LOG_LEVELS

LETTERS = "DIWE"  # of LOG_LEVELS
LINE = "%s %s %s: %s"  # letter, time, logger, message


def parse(line):
    """Return (level, time, logger, message) of a line, or None when it is none of a logger's.

    Older firmware and the first MQBoard's give the time in milliseconds since the start, and may
    align the names.
    """
    letter, _, rest = line.partition(" ")
    time, _, rest = rest.partition(" ")
    name, colon, message = rest.lstrip(" ").partition(": ")
    if len(letter) != 1 or letter not in LETTERS or not colon or not time[:1].isdigit():
        return None
    return LOG_LEVELS[LETTERS.index(letter)], time, name, message

"""Takes a line of the log apart: `I 12.345 mqtt: message`. mqwire.log_line makes it.

What a board prints without a logger comes as it is, and so do the further lines of a message, as
those of a traceback.
"""

from mqwire import LOG_LETTERS
from mqwire.config import LOG_LEVELS


def parse(line):
    """Return (level, time, logger, message) of a line, or None when it is none of a logger's.

    Older firmware, and the first MQBoard's, gives the time in milliseconds since the start, and may
    align the names.
    """
    letter, _, rest = line.partition(" ")
    time, _, rest = rest.partition(" ")
    name, colon, message = rest.lstrip(" ").partition(": ")
    if len(letter) != 1 or letter not in LOG_LETTERS or not colon or not time[:1].isdigit():
        return None
    return LOG_LEVELS[LOG_LETTERS.index(letter)], time, name, message

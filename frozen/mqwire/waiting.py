"""Names the topic of the note "an update is waiting": whoever rolls it out leaves it, retained, for
a board that is asleep or away, and takes it away when the board has had its turn.

It is no command, and nothing that a board has to obey: it tells a board that wakes up that it is
worth staying awake for a while. What stands in it is in docs/protocol.md.
"""

MAX_NOTE = 512  # bytes; a longer one is none


def topic(prefix):
    """Return the topic of the note for the board at `prefix`: retained JSON."""
    return prefix + "/mqb/waiting"

"""Defines how one of several boards with the same prefix is addressed, until it has another.

Apart from mqwire because most boards never need it.
"""

UNKNOWN = "unknown"  # in the birth's `twin`: a board whose firmware does not say its id
MAX_ID = 32  # characters of a hardware id; ours have 12


def own_root(prefix, board_id):
    """Return what stands for the prefix in topics of commands for the board with that hardware id
    alone. Its replies come as always.
    """
    return prefix + "/mqb/id/" + board_id

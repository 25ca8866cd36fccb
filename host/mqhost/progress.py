"""Defines how long work reports its progress, without printing anything itself."""

from collections.abc import Callable

# (what is being done, how much of it is done, how much there is in all; 0 = not known)
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Ignore progress: the callback of whoever does not want to know."""

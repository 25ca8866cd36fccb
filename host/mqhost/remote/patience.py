"""Decides how long work on a board's files goes on after a connection or the board was lost."""

import time

from mqhost.link.session import Session

PATIENCE = 60.0  # seconds without progress
_LONGEST_PAUSE = 5.0


class Patience:
    """Counts the time without progress; `pause` waits before the next attempt, or gives up.

    With a board that has not answered yet there is less of it: one that is away is told soon.
    """

    def __init__(self, session: Session, seconds: float = PATIENCE) -> None:
        self._session = session
        self._whole = seconds
        self._answered = False
        self._begin(min(seconds, session.settings.timeout))

    def answered(self) -> None:
        """Note that the board is there."""
        if not self._answered:
            self._answered = True
            self._begin(self._whole)

    def progressed(self) -> None:
        """Begin anew: there was progress."""
        self._answered = True
        self._begin(self._whole)

    def _begin(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._attempts = 0

    def pause(self) -> None:
        """Wait until there is a connection, and longer with each attempt in vain.

        Raises the error for a board that is silent, or for a broker that is lost, when it is over.
        """
        left = self._until - time.monotonic()
        if left <= 0 or not self._session.connection.wait_connected(left):
            raise self._session.silence(self._seconds)
        self._attempts += 1
        births = self._session.births
        wait = min(0.1 * 2**self._attempts, _LONGEST_PAUSE, max(0.0, left))
        # A board that was away and comes back is asked at once.
        self._session.wait_status(lambda _: self._session.births > births, wait)


class Presence:
    """Tells whether the connection or the board has been lost since this was made."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._was = self._now()

    def lost(self) -> bool:
        return self._now() != self._was

    def _now(self) -> tuple[int, int, bool]:
        connection = self._session.connection
        return connection.generation, self._session.births, connection.connected

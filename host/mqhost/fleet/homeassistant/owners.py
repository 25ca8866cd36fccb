"""Decides which of several bridges is responsible for a board, so that a button that is pressed
once has one effect.

Bridges say every few seconds that they are alive. Each `state` of a board that is published names
its bridge, and all bridges hear all of them in the same order: the last one's is responsible, as
long as it lives. Who finds a board with nobody responsible says so, and hears whether it was last.
"""

BEAT = 5.0  # seconds between signs of life
DEAD = 15.0  # without a sign for so long
GREETING = 3.0  # so long the others have to say that they live, when one begins


class Owners:
    """Who is responsible for which boards, as the bridge `me` has heard. Times are in seconds, of
    one clock.
    """

    def __init__(self, me: str, now: float) -> None:
        self.me = me
        self._began = now
        self._alive: dict[str, float] = {}
        self._claims: dict[str, str] = {}

    def begin(self, now: float) -> None:
        """Begin anew: the connection was away, and so perhaps was that of others. One of these may
        have taken over from us meanwhile: what the broker holds says so, or that it is still us.
        """
        self._began = now
        self.gone(self.me)
        self._alive = dict.fromkeys(self._alive, now)

    def alive(self, bridge: str, now: float) -> None:
        """Take a sign of life."""
        if bridge != self.me:
            self._alive[bridge] = now

    def gone(self, bridge: str) -> None:
        """Take that a bridge is not there any more."""
        self._alive.pop(bridge, None)
        self._claims = {ident: who for ident, who in self._claims.items() if who != bridge}

    def claimed(self, ident: str, bridge: str) -> None:
        """Take that `bridge` says it is responsible; "" for a board that nobody has."""
        if bridge:
            self._claims[ident] = bridge
        else:
            self._claims.pop(ident, None)

    def mine(self, ident: str) -> bool:
        """Return whether it is for us to do what is asked."""
        return self._claims.get(ident) == self.me

    def free(self, ident: str, now: float) -> bool:
        """Return whether nobody is responsible, and we may say that we are."""
        owner = self._claims.get(ident)
        if owner is None:
            return now >= self._began + GREETING
        if owner == self.me:
            return False
        heard = self._alive.get(owner)
        if heard is None:
            return now >= self._began + GREETING
        return now - heard > DEAD

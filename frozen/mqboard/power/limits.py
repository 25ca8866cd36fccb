"""Says how long a wake takes at most, so that no configuration locks a board out.

A network takes some seconds to come up, and TLS some more: limits that are too short for that would
end each wake before anybody can be heard. So some boots *stay*: until the board has been connected
and has settled they do not count, for some minutes.
"""

from micropython import const

_STAY_MS = const(300_000)
_IN_VAIN = const(10)  # wakes in a row without a connection
_DAY_S = const(86400)
_PROOF_S = const(60)  # until a network or a broker that lets us down is left (mqboard.net.order)


class Limits:
    """The limits in `settings`, those of power. `woke` is what was kept over the sleep that this
    boot ends, None if it ends none; `now` in Unix time.

    `ways` is how many networks there are, of which each begins `wait_s` after the one before it;
    0 where none stands in for another, and no broker does.
    """

    def __init__(self, settings, woke, now, ways=0, wait_s=0):
        turns_ms = int((ways * wait_s + _PROOF_S) * 1000) if ways else 0
        self._awake_ms = int(settings["awake_s"] * 1000)
        self._apart_ms = max(self._awake_ms, turns_ms)  # without a connection
        self._longest_ms = max(int(settings["longest_s"] * 1000), turns_ms)
        self._in_vain, self._stayed = (woke or {}).get("limits") or (0, now)
        self.stays = not woke or self._in_vain >= _IN_VAIN or not 0 <= now - self._stayed < _DAY_S

    def over(self, up_ms):
        """Return whether a wake of `up_ms` ends, whatever is under way."""
        return up_ms >= self._longest_ms and not self._staying(up_ms)

    def late(self, up_ms, reached):
        """Return whether it ends unless there is something to do; `reached`: it has been connected,
        and has settled."""
        if reached:
            return up_ms >= self._awake_ms
        return up_ms >= self._apart_ms and not self._staying(up_ms)

    def kept(self, connected, now):
        """Return what the next wake has to know: wakes in vain, and when the last one stayed."""
        if self.stays:
            return 0, now
        return 0 if connected else self._in_vain + 1, self._stayed

    def _staying(self, up_ms):
        return self.stays and up_ms < _STAY_MS

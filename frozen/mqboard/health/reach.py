"""Proves whether the board can be reached, and says what is to be done when it cannot for long.

    for module "blink":  state = await board.reach.changed()

To be unreachable is no fault of the board's: its modules keep running, and nothing of this counts
as a crash. After `watchdog.network_s` without a command of its own that came back the network is
begun anew, and once more after each time that long; after `watchdog.unreachable_s` the board.
Times too short to connect in would cut it off for good: a boot has some minutes for that, and so
has a network that was begun anew, whatever the configuration says.
"""

import asyncio

from micropython import const

import mqwire
from mqboard.clock import jitter, ticks_diff, ticks_ms

_MUTE_MS = const(300_000)  # connected, and yet no command comes back
_FIRST_S = const(300)  # a boot is not over sooner, unless it has been connected
_AGAIN_S = const(60)  # nor does the network begin anew once more
# No turn takes longer than a second, unless something blocks the event loop. So much of it counts
# at most: without a connection a module may wait for each answer of a network that is not there.
_BLOCKED_MS = const(60_000)
_TURN_MS = const(2_000)  # with one: while the loop stands still nothing can come back to us
_LOOK_S = 0.5
_PROOF_TIMEOUT_S = const(10)  # of an event loop that runs


class Reach:
    """What link and client of `board` have come to; its configuration has the times."""

    def __init__(self, board):
        self._board = board
        self._turned_at = ticks_ms()
        self.heard()

    @property
    def state(self):
        """Return "no network", "no broker" or "connected"."""
        if self._board.client.up.is_set():
            return "connected"
        return "no broker" if self._board.link.connected() else "no network"

    async def changed(self, since=None):
        """Wait until the state is another than `since`, or than now; return it."""
        since = since or self.state
        while True:
            state = self.state
            if state != since:
                return state
            await asyncio.sleep(_LOOK_S)

    def heard(self):
        """Note that a command has come back to us: the board can be reached."""
        self.silent_ms = 0  # since a command came back to us
        self._mute_ms = 0  # of them in this connection
        self._restarts = 0

    async def prove(self):
        """Return whether a command that we send to our own topic comes back, in time. If not, the
        broker is told again what we listen to."""
        board = self._board
        ident = "%08x" % jitter(1 << 30)
        back = asyncio.Event()
        board.router.expect_ping(ident, back.set)
        topic = mqwire.command_topic(board.config.prefix, "ping", ident)
        ping = mqwire.header(0, True)
        if board.router.guard:
            ping = board.router.guard.sealed(topic, ping)
        await board.client.publish(topic, ping)
        # In slices: what blocks the loop, however long, uses up one of them. What came meanwhile
        # is read in the next.
        for _ in range(_PROOF_TIMEOUT_S):
            try:
                await asyncio.wait_for(back.wait(), 1)
                self.heard()
                return True
            except asyncio.TimeoutError:
                if not board.client.connected:
                    return False
        board.log.warning("our own command topic does not reach us")
        # A cluster may lose what its nodes knew of us, and the connection stands.
        await board.client.subscribe_again()
        return False

    def turn(self):
        """Run once a second; return why the board has to be reset, None when it has not."""
        now = ticks_ms()
        connected = self._board.client.connected
        passed = min(ticks_diff(now, self._turned_at), _TURN_MS if connected else _BLOCKED_MS)
        self._turned_at = now
        self.silent_ms += passed
        silent_s = self.silent_ms // 1000
        late = False
        power = self._board.power
        if connected and power and power.quiet:
            self.heard()  # it takes no commands, and has no other proof than its connection
        elif connected:
            # It is not the broker that is missing, it is us. Whatever there was before it, a new
            # connection has its time.
            self._mute_ms += passed
            late = self._mute_ms > _MUTE_MS
        else:
            self._mute_ms = 0
            network_s = self._board.config.network_s
            late = silent_s > self._board.config.unreachable_s
            late = late and (self._board.client.connects or silent_s > _FIRST_S)
            due = 0
            if silent_s >= network_s:
                due = 1 + int((silent_s - network_s) / max(network_s, _AGAIN_S))
            # Without a network it is begun anew all the time.
            if due > self._restarts and self._board.link.connected() and not late:
                self._board.log.warning("restarting the network: unreachable for %d s", silent_s)
                self._board.link.restart()
            self._restarts = due
        return "unreachable for %d s" % silent_s if late else None

"""Chooses among several networks: the best that is there is used, the next ones stand in.

Loaded where the configuration names more than one. An Order is to the board what a single
mqboard.net.link.Link is (docs/network.md); its links join and join again by themselves:

- The best one begins. When it is not up within `wait_s`, the next one begins as well, and so on.
- What is up is used; those before it go on trying. Those behind it are switched off once the broker
  is reached over it: until then they go on dialling.
- A better one that has been up for a while is gone back to, between two pieces of work.
- One over which nothing gets through is switched off, for longer and longer: on, it might be where
  ESP-IDF sends everything. It comes sooner when the others had their time in vain.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_TURN_S = 0.5
_STEADY_S = const(10)  # a better one is up, until it is gone back to; doubles with each time
_AVOID_S = const(600)  # one over which nothing got through
_MOST_S = const(6 * 3600)
_HELD_S = const(600)  # then one is as good as it was at first
_TIME_S = const(120)  # that one has at least, until an avoided one comes in its place
_PROOF_S = const(60)  # until the broker is reached over it


class _Candidate:
    """A link by its `name`, and what is known of it."""

    task = None  # that joins it, while it has begun
    begun_at = None
    fresh = False  # it has begun, and not had its time yet
    doubted = False  # nothing got through over it when it was used last
    avoided_at = None
    resting = False  # it is avoided
    pause_s = _STEADY_S
    up_at = None  # since when it is up, while it is not the one in use

    def __init__(self, name, link):
        self.name = name
        self.link = link

    def begin(self):
        """Have it join, and stay joined."""
        if not self.task:
            self.task = asyncio.create_task(self.link.run())
            self.begun_at = ticks_ms()
            self.fresh = True

    def end(self):
        """Leave it, and switch it off."""
        if self.task:
            self.task.cancel()
            self.task = self.up_at = None
            self.fresh = False
            self.link.switch_off()

    def avoid(self):
        """Have others come first, and this one after longer and longer times."""
        self.end()
        self.doubted = self.resting = True
        self.avoided_at = ticks_ms()
        self.pause_s = max(self.pause_s, _AVOID_S)

    def look(self, now, time_ms):
        """Note what is over. Often: after days the clock would say that it is not."""
        if self.fresh and ticks_diff(now, self.begun_at) >= time_ms:
            self.fresh = False
        if self.resting and ticks_diff(now, self.avoided_at) >= self.pause_s * 1000:
            self.resting = False

    def steady(self, now):
        """Return whether it is up, and has been for its time."""
        if not self.link.connected():
            self.up_at = None
            return False
        if self.up_at is None:
            self.up_at = now
        pause_s = _STEADY_S if self.doubted else self.pause_s  # that one has had its pause
        return ticks_diff(now, self.up_at) >= pause_s * 1000


class Order:
    """`links` are (name, Link), the best first. Before it runs, set `client`, whose streams these
    are; `busy`, which says whether a piece of work is under way; and `goodbye(why)`, which is
    awaited before the client is disconnected.
    """

    client = busy = goodbye = None
    _used = None  # the candidate in use
    _used_at = None
    _proven = True  # the broker was reached over it

    def __init__(self, links, wait_s, log):
        self.links = [link for _, link in links]
        self._all = [_Candidate(name, link) for name, link in links]
        self._wait_ms = int(wait_s * 1000)
        self._log = log
        self._since = ticks_ms()  # without a network; or when the last one began

    async def run(self):
        """Keep the best network up that can be had, for ever."""
        try:
            self._since = ticks_ms()
            self._all[0].begin()
            while True:
                await asyncio.sleep(_TURN_S)
                for one in self._all:
                    if one.task and one.task.done():
                        await one.task  # raises what it died of; the supervisor starts us again
                await self._turn(ticks_ms())
        finally:
            self._used = None
            for one in self._all:
                one.end()

    async def _turn(self, now):
        for one in self._all:
            one.look(now, max(self._wait_ms, _TIME_S * 1000))
        used = self._used
        if used and used.link.connected():
            if not self._is_in_vain(now):
                await self._look_up(now)
            return
        if used:
            self._used = None
            self._since = now
            await self.client.disconnect()  # it would wait for answers until its keepalive is over
        self._take_what_is_up(now)

    def _is_in_vain(self, now):
        """See whether the broker is reached over the one in use; return whether another one has to
        come in its place."""
        used = self._used
        passed = ticks_diff(now, self._used_at)
        if not self._proven and self.client.connected:
            self._proven = True
            used.doubted = used.resting = False
            for other in self._behind():
                other.end()
        if not self._proven:
            for other in self._behind():
                # What still dials goes on. Two that are up are not good: which one is it then?
                if other.task and other.link.connected():
                    if used.doubted and not other.doubted:
                        passed = _PROOF_S * 1000 + 1
                    else:
                        other.end()
            if passed > _PROOF_S * 1000:
                self._pass_over()
                return True
        elif passed > _HELD_S * 1000:
            used.pause_s = _STEADY_S
        return False

    def _behind(self):
        return self._all[self._all.index(self._used) + 1 :]

    def _take_what_is_up(self, now):
        for doubted in (False, True):
            for one in self._all:
                if one.task and one.doubted == doubted and one.link.connected():
                    self._use(one)
                    return
        if ticks_diff(now, self._since) < self._wait_ms:
            return
        one = self._next()
        if one:
            self._since = now
            self._log.warning("no network yet: %s has its turn", one.name)
            one.begin()

    def _next(self):
        """Return the one to begin, or None."""
        avoided = None
        for one in self._all:
            if not one.task:
                if not one.resting:
                    return one
                if not avoided or ticks_diff(avoided.avoided_at, one.avoided_at) > 0:
                    avoided = one
        # An avoided one is better than none; but those that still try have their time.
        return None if any([one.fresh for one in self._all]) else avoided

    def _use(self, one):
        self._log.info("the network is %s", one.name)
        self._used = one
        self._used_at = ticks_ms()
        self._proven = False
        for other in self._all:
            other.up_at = None

    def _pass_over(self):
        """Turn to another network: over the one in use nothing gets through."""
        self._log.warning("the broker cannot be reached over %s", self._used.name)
        self._used.avoid()
        self._used = None
        self._since = ticks_ms() - self._wait_ms  # the next one has no need to wait

    async def _look_up(self, now):
        """Go back to a better one that is up, has been for its time, and disturbs no work."""
        for one in self._all:
            if one is self._used:
                return
            if one.resting:
                one.end()  # it came before its time, while there was no other
                continue
            one.begin()
            if one.steady(now) and not self.busy():
                one.pause_s = min(2 * one.pause_s, _MOST_S)
                await self._go_back(one)
                return

    async def _go_back(self, one):
        self._log.info("%s is there again", one.name)
        if self.client.connected:
            await self.goodbye("back to " + one.name)
        self._used = None  # nobody opens a stream meanwhile
        await self.client.disconnect()
        one.doubted = False  # it has its minute again, whatever else is up
        for other in self._all[self._all.index(one) + 1 :]:
            if other.task and other.link.connected():
                other.end()  # or the next stream would be opened over it once more
        self._use(one)

    # What a Link offers.

    @property
    def name(self):
        """The name of the network in use; "" without one."""
        return self._used.name if self._used else ""

    def connected(self):
        """Return whether there is an address."""
        return self._used is not None and self._used.link.connected()

    def address(self):
        """Return the IPv4 address as text, or "" without one."""
        return self._used.link.address() if self._used else ""

    def dns(self):
        """Return the DNS server's address as text, or "" when it is not known."""
        return self._used.link.dns() if self._used else ""

    def rssi(self):
        """Return the signal in dBm; None where there is none."""
        return self._used.link.rssi() if self._used else None

    def restart(self):
        """Begin anew with another one, if there is one: nothing gets through here."""
        if self._used:
            self._used.link.restart()
            self._pass_over()

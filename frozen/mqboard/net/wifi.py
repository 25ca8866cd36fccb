"""Joins one of the Wi-Fi networks that a board knows: the strongest that takes it.

Loaded while there is none (mqboard.net.link): most boards are on theirs for months. A round tries
each network once; between rounds there is a pause, so that neither radio nor log runs hot when the
access point is gone for days.
"""

import asyncio

from micropython import const

from mqboard.clock import jitter, ticks_diff, ticks_ms, worth_a_line

_ATTEMPT_MS = const(15_000)
_SURE_MS = const(5_000)  # then a status is not one of the attempt before
_REJOIN_MS = const(4_000)  # with the address of before a sleep
_AIMED_MS = const(6_000)  # on the channel of before a sleep
_MISSES = const(3)  # in a row; then the channel of last time is not what this network wants
_POLL_S = 0.05
_PAUSE_S = const(2)  # after the first round in vain; doubles
_PAUSE_MAX_S = const(30)
_WEAKEST = const(-200)  # dBm: a network that no scan has seen
_NOT_FOUND = const(201)  # network.STAT_NO_AP_FOUND and others of the ESP32 port
_WRONG_PASSWORD = const(202)
_REFUSALS = (_NOT_FOUND, _WRONG_PASSWORD, 210, 211, 212)  # and found, but unfit
_CONNECTING = const(1001)
_NOBODY = "0.0.0.0"


async def join(link):
    """Try the networks of `link`, a mqboard.net.link.Link, until one takes us; return it."""
    return await Joining(link).run()


class Joining:
    """Tries the networks of `link`; each is as in the configuration."""

    def __init__(self, link):
        self._link = link
        self._wlan = link.interface
        self._rounds = 0
        self._told = []  # see worth_a_line

    async def run(self):
        """Go round until a network takes us; return it, or None when there is one without us."""
        # Of before a sleep: ((SSID, address, netmask, gateway, DNS server), since when).
        lease = getattr(self._link, "lease", None)
        if lease:
            self._link.lease = None  # first: it is tried once, whatever goes wrong
            joined = await self.rejoin(lease[0])
            if joined:
                self._link.lease = lease
                return joined
        while not self._link.connected():
            while getattr(self._link, "held", False):  # its radio is needed for something else
                await asyncio.sleep(_PAUSE_S)
            self._rounds += 1
            joined = await self.go_round()
            if joined:
                return joined
            pause = min(_PAUSE_S << min(self._rounds - 1, 8), _PAUSE_MAX_S) * 500
            await asyncio.sleep((pause + jitter(pause)) / 1000)

    async def go_round(self):
        """Try each network once; return the one that takes us, or None."""
        link = self._link
        for network in self.in_order():
            ssid = network["ssid"]
            aimed = self._aim(network)
            why = await self.attempt(network)
            if why and aimed and len(link.known) < 2:
                link.switch_off()
                why = await self.attempt(network)  # on any channel
            if not why:
                link.log.info("on network %s as %s, %s dBm", ssid, link.address(), link.rssi())
                return network
            if worth_a_line(self._told, (ssid, why), self._rounds):
                times = " (%d times)" % self._rounds if self._rounds > 1 else ""
                link.log.warning("network %s does not let us in: %s%s", ssid, why, times)
            link.switch_off()  # a radio may be stuck

    async def rejoin(self, lease):
        """Join the network of before a sleep, with the address of then: no scan, no DHCP. Return
        it, or None."""
        ssid, address, netmask, gateway, server = lease
        static = {"address": address, "netmask": netmask, "gateway": gateway, "dns": server}
        for network in self._link.known:
            if network["ssid"] == ssid and not network["static"]:
                if not await self.attempt(network, static, _REJOIN_MS):
                    return network
                self._wlan.ipconfig(dhcp4=True)
                self._link.switch_off()
        return None

    def in_order(self):
        """Return the networks in the order in which to try them: that of before a sleep first, or
        the strongest; those that are hidden or not there last, as they stand in the configuration.
        """
        networks, shunned = self._link.known, self._link.shunned
        aimed = [one for one in networks if self._aim(one) and one is not shunned]
        if len(networks) < 2 or aimed:  # no scan: nothing else runs for its two seconds
            return aimed + [one for one in networks if one not in aimed]
        signals = {}
        try:
            self._wlan.active(True)
            self._wlan.disconnect()  # no scan while the port tries to connect
            for found in self._wlan.scan():
                signals[found[0]] = max(found[3], signals.get(found[0], _WEAKEST))
        except Exception as error:  # without memory, too, there is an order
            self._link.log.warning("no scan: %r", error)
        order = []
        for index, network in enumerate(networks):
            signal = signals.get(network["ssid"].encode(), _WEAKEST)
            order.append((network is shunned, -signal, index))
        return [networks[index] for _, _, index in sorted(order)]

    async def attempt(self, network, static=None, limit_ms=_ATTEMPT_MS):
        """Try one network; return why it has no address for us, "" if it has."""
        aim = self._aim(network)
        if not aim:
            return await self._try(network, static, limit_ms, 0)
        why = await self._try(network, static, min(limit_ms, _AIMED_MS), aim[1])
        aim[2] = aim[2] + 1 if why else 0
        if why:
            aim[1] = 0  # for now: it is another one, or none helps
        return why

    async def _try(self, network, static, limit_ms, channel):
        wlan = self._wlan
        static = static or network["static"]
        try:
            wlan.active(True)
            wlan.disconnect()
            if static:
                set_address(wlan, static)
            elif any([other["static"] for other in self._link.known]):
                wlan.ipconfig(dhcp4=True)
            wlan.connect(network["ssid"], network["password"])
            if channel:
                begin_at(wlan, channel)
        except Exception as error:  # whatever is wrong with it, or with the radio: the next, please
            return str(error) or repr(error)
        started = ticks_ms()
        while not wlan.isconnected():
            passed = ticks_diff(ticks_ms(), started)
            if passed >= limit_ms or passed >= _SURE_MS and self._hopeless():
                return self._reason()
            await asyncio.sleep(_POLL_S)
        return ""

    def _aim(self, network):
        """Return [SSID, channel, misses in a row] of before a sleep, if it is to be tried there."""
        aim = getattr(self._link, "aim", None)
        if aim and aim[0] == network["ssid"] and aim[1] and aim[2] < _MISSES:
            return aim
        return None

    def _hopeless(self):
        """Return whether others wait for their turn, and this network has said no."""
        refused = self._wlan.status() in _REFUSALS
        return refused and len(self._link.known) > 1 and self._link.rssi() is None

    def _reason(self):
        status = self._wlan.status()
        if status == _NOT_FOUND:
            return "not found"
        if status == _WRONG_PASSWORD:
            return "wrong password"
        if status in _REFUSALS:
            return "its security or its signal does not do (status %d)" % status
        if status != _CONNECTING:
            return "status %d" % status
        if self._link.rssi() is None:
            return "no answer; is the password right?"
        return "it gives us no IPv4 address (DHCP), and IPv6 alone is not enough"


def begin_at(wlan, channel):
    """Have `wlan`, which has begun to connect, look for its network at `channel` first.

    WLAN.connect() with a name clears the channel that config() has set, without one it does not;
    and config() sets none while it connects (network_wlan.c of MicroPython 1.28).
    """
    wlan.disconnect()
    try:
        wlan.config(channel=channel)
    except Exception:  # refused, or not allowed in this country: at all of them, as ever
        pass
    wlan.connect()


def set_address(interface, static):
    """Give a WLAN or LAN the address of the configuration's `static`, in place of DHCP."""
    address, netmask, gateway = static["address"], static["netmask"], static["gateway"]
    server = static["dns"] or gateway
    if server == _NOBODY:  # which ifconfig of the ESP32 port does not take
        interface.ipconfig(addr4=(address, netmask), gw4=gateway)
    else:
        interface.ifconfig((address, netmask, gateway, server))

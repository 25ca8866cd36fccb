"""Keeps the network below MQTT up: a Wi-Fi station that tries access points in turn, or another's.

A link has `connected()`, `address()`, `dns()`, `rssi()`, the task `run()` that keeps it up for
ever, and `restart()` for whoever finds that it says connected and yet nothing gets through. It
knows nothing of MQTT. Ethernet is in mqboard.net.ethernet.
"""

import asyncio

from micropython import const

from mqboard.clock import jitter, ticks_diff, ticks_ms, worth_a_line

_ATTEMPT_MS = const(15_000)
_SURE_MS = const(5_000)  # then a status is not one of the attempt before
_POLL_S = 0.05
_TURN_S = 0.5
_PAUSE_S = const(2)  # after the first round in vain; doubles
_PAUSE_MAX_S = const(30)
_WEAKEST = const(-200)  # dBm: a network that no scan has seen
_NOT_FOUND = const(201)  # network.STAT_NO_AP_FOUND and others of the ESP32 port
_WRONG_PASSWORD = const(202)
_REFUSALS = (_NOT_FOUND, _WRONG_PASSWORD, 210, 211, 212)  # and found, but unfit
_CONNECTING = const(1001)


class Link:
    """A network that somebody else keeps up; `interface` knows whether it is up, None: always."""

    def __init__(self, interface=None):
        self._interface = interface

    def connected(self):
        """Return whether there is an address."""
        return self._interface is None or self._interface.isconnected()

    def address(self):
        """Return the IPv4 address as text, or "" without one."""
        return self._interface.ifconfig()[0] if self._interface and self.connected() else ""

    def dns(self):
        """Return the DNS server's address as text, or "" when it is not known."""
        server = self._interface.ifconfig()[3] if self._interface and self.connected() else ""
        return "" if server == "0.0.0.0" else server

    def rssi(self):
        """Return the signal in dBm; None where there is none."""

    def restart(self):
        """Begin anew, from the hardware on, if it is ours to do so."""

    async def run(self):
        """Keep it up, for ever."""
        while True:
            await asyncio.sleep(3600)


class WifiLink(Link):
    """Joins Wi-Fi: `wlan` is a station, `networks` those of the configuration."""

    def __init__(self, wlan, networks, log):
        super().__init__(wlan)
        self._networks = networks
        self._log = log
        self._joined = None  # the network that we were on last
        self._shunned = None  # one that we were on, and nothing got through

    async def run(self):
        """Connect and reconnect for ever; a wrong password or a missing network is only logged."""
        while True:
            await self._join()
            while self.connected():
                await asyncio.sleep(_TURN_S)

    def restart(self):
        """Switch the station off; `run` switches it on again, and tries other networks first."""
        self._shunned = self._joined
        self._switch_off()

    def rssi(self):
        """Return the signal in dBm; None without an access point."""
        try:
            return self._interface.status("rssi")
        except (OSError, RuntimeError):
            return None

    async def _join(self):
        """Try the networks round after round until one takes us."""
        rounds, told = 0, []
        while not self.connected():
            rounds += 1
            if await self._go_round(rounds, told):
                return
            pause = min(_PAUSE_S << min(rounds - 1, 8), _PAUSE_MAX_S) * 500
            await asyncio.sleep((pause + jitter(pause)) / 1000)

    async def _go_round(self, rounds, told):
        """Try each network once; return whether one took us. `told`: see `worth_a_line`."""
        for network in self._in_order():
            ssid = network["ssid"]
            why = await self._attempt(network)
            if not why:
                self._joined = network
                self._log.info("on network %s as %s, %s dBm", ssid, self.address(), self.rssi())
                return True
            if worth_a_line(told, (ssid, why), rounds):
                times = " (%d times)" % rounds if rounds > 1 else ""
                self._log.warning("network %s does not let us in: %s%s", ssid, why, times)
            self._switch_off()  # a radio may be stuck
        return False

    def _switch_off(self):
        try:
            self._interface.disconnect()  # or the port would try to connect again by itself
            self._interface.active(False)
        except (OSError, RuntimeError) as error:
            self._log.warning("Wi-Fi: %s", error)

    def _in_order(self):
        """Return the networks in the order in which to try them: the strongest first, those that
        are hidden or not there last, as they stand in the configuration.
        """
        networks = self._networks
        if len(networks) < 2:
            return networks  # no scan: nothing else runs for its two seconds
        signals = {}
        try:
            self._interface.active(True)
            self._interface.disconnect()  # no scan while the port tries to connect
            for found in self._interface.scan():
                signals[found[0]] = max(found[3], signals.get(found[0], _WEAKEST))
        except Exception as error:  # without memory, too, there is an order
            self._log.warning("no scan: %r", error)
        order = []
        for index, network in enumerate(networks):
            signal = signals.get(network["ssid"].encode(), _WEAKEST)
            order.append((network is self._shunned, -signal, index))
        return [networks[index] for _, _, index in sorted(order)]

    async def _attempt(self, network):
        """Try one network; return why it has no address for us, "" if it has."""
        wlan = self._interface
        try:
            wlan.active(True)
            wlan.disconnect()
            if network["static"]:
                wlan.ifconfig(addresses(network["static"]))
            elif any([other["static"] for other in self._networks]):
                wlan.ipconfig(dhcp4=True)
            wlan.connect(network["ssid"], network["password"])
        except Exception as error:  # whatever is wrong with it, or with the radio: the next, please
            return str(error) or repr(error)
        started = ticks_ms()
        while not wlan.isconnected():
            passed = ticks_diff(ticks_ms(), started)
            if passed >= _ATTEMPT_MS or passed >= _SURE_MS and self._hopeless():
                return self._reason()
            await asyncio.sleep(_POLL_S)
        return ""

    def _hopeless(self):
        """Return whether others wait for their turn, and this network has said no."""
        refused = self._interface.status() in _REFUSALS
        return refused and len(self._networks) > 1 and self.rssi() is None

    def _reason(self):
        status = self._interface.status()
        if status == _NOT_FOUND:
            return "not found"
        if status == _WRONG_PASSWORD:
            return "wrong password"
        if status in _REFUSALS:
            return "its security or its signal does not do (status %d)" % status
        if status != _CONNECTING:
            return "status %d" % status
        if self.rssi() is None:
            return "no answer; is the password right?"
        return "it gives us no IPv4 address (DHCP), and IPv6 alone is not enough"


def addresses(static):
    """Return what ifconfig wants of the configuration's `static`."""
    gateway = static["gateway"]
    return static["address"], static["netmask"], gateway, static["dns"] or gateway

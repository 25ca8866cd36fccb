"""The network below MQTT: a Wi-Fi station that tries the configured access points in turn.

`run()` is a task: it keeps the station connected, for ever, to whichever network answers.
"""

import asyncio

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms

_ATTEMPT_MS = const(15_000)
_POLL_S = 0.05
_PAUSE_S = const(2)


class WifiLink:
    """`wlan` is a network.WLAN station; `networks` a list of (ssid, password), tried in order."""

    def __init__(self, wlan, networks, log):
        self._wlan = wlan
        self._networks = networks
        self._log = log

    def connected(self):
        """Whether the station has an address."""
        return self._wlan.isconnected()

    def address(self):
        """The station's IPv4 address as text, or "" without one."""
        return self._wlan.ifconfig()[0] if self._wlan.isconnected() else ""

    async def run(self):
        """Connect and reconnect for ever; a wrong password or a missing network is only logged."""
        index = 0
        while True:
            if self._wlan.isconnected():
                await asyncio.sleep(0.5)
                continue
            ssid, password = self._networks[index % len(self._networks)]
            index += 1
            if await self._attempt(ssid, password):
                self._log.info("on network %s as %s", ssid, self.address())
                index -= 1
            else:
                self._log.warning(
                    "network %s does not let us in (status %d)", ssid, self._wlan.status()
                )
                self._begin_anew()
                await asyncio.sleep(_PAUSE_S)

    def _begin_anew(self):
        try:
            self._wlan.active(False)  # a radio may be stuck
        except (OSError, RuntimeError) as error:
            self._log.warning("Wi-Fi: %s", error)

    async def _attempt(self, ssid, password):
        try:
            self._wlan.active(True)
            self._wlan.disconnect()
            self._wlan.connect(ssid, password)
        except (OSError, RuntimeError) as error:
            self._log.warning("network %s: %s", ssid, error)
            return False
        started = ticks_ms()
        while ticks_diff(ticks_ms(), started) < _ATTEMPT_MS:
            if self._wlan.isconnected():
                return True
            await asyncio.sleep(_POLL_S)
        return False

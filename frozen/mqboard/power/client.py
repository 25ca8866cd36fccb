"""Makes the MQTT client of a sleeper: its session is kept over a sleep, and over no other end.

What a broker keeps for us includes commands, if we were subscribed to them when the link broke. Who
sent them has given up long ago. So before it connects for the first time, and after a connection
that just broke while it listened to them, it has the broker forget the session: it connects with a
clean one, leaves, and connects again. A sleep begins without a subscription to commands: there the
session is kept, and so it is over a connection that broke, or could not be made, in a quiet wake.

What arrives while it says goodbye would be lost with the memory of whoever takes it. So it is not
taken, and not acknowledged: the broker sends it again at the next wake.
"""

import asyncio

from micropython import const

from mqboard.mqtt import Client, packet

_FLAGS = const(7)  # where they stand in the body of a CONNECT (MQTT 3.1.1, 3.1.2.3)
_CLEAN = const(2)
_LEAVE_S = const(4)  # a modem's line may take a second each way


class SleepersClient(Client):
    """A mqboard.mqtt.Client. `listens`: the broker has, or may have, a subscription to commands;
    `stale`: it may have commands of before for us; `only`: the one topic whose messages are still
    taken, None: all.
    """

    listens = False
    stale = True
    only = None
    _muted = None  # the log, while we leave

    def take(self, first, body, stop):
        """Take a packet, unless it is a message for the next wake."""
        for_later = self.only and first & 0xF0 == packet.PUBLISH and first & 6
        if for_later and not self.reader.buffer.startswith(packet.topic_head(self.only), body):
            return
        super().take(first, body, stop)

    async def _live(self):
        try:
            return await super()._live()
        finally:
            if self.listens:
                self.stale = True

    async def _connect(self):
        if self.stale:
            self._introduction[_FLAGS] |= _CLEAN
            try:
                await super()._connect()
                await self.writer.send(bytes((packet.DISCONNECT, 0)))
            finally:
                self._introduction[_FLAGS] &= ~_CLEAN
                self.writer.detach()
            self.stale = False
        await super()._connect()

    async def leave(self):
        """Leave before a sleep; return whether the broker knows it: it hangs up then, and will not
        publish the will."""
        self._muted, self._log = self._log, None  # that it hangs up is no news
        try:
            await asyncio.wait_for(self.writer.send(bytes((packet.DISCONNECT, 0))), _LEAVE_S)
            await asyncio.wait_for(self.down.wait(), _LEAVE_S)
            return True
        except (OSError, asyncio.TimeoutError):
            return False

    def stay(self):
        """Undo `leave`, and `only`: there is no sleep now."""
        self.only = None
        if self._muted:
            self._log, self._muted = self._muted, None

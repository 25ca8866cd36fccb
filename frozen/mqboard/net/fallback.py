"""Turns to another broker when the first cannot be reached, and back to the first when it can.

Loaded only where there is another one. The MQTT client knows nothing of it: it opens its streams
here, and finds its login changed. Each connection begins with the first broker.
"""

import asyncio

from micropython import const

from mqboard.net.stream import open_stream

_TRIES = const(3)  # failures in a row, until it is the other one's turn as well
_LOOK_S = const(600)
_LOOK_MAX_S = const(6 * 3600)


class Broker:
    """Another broker than `first`: its keys of the configuration as attributes."""

    trial = False  # as that of mqboard.config.Config

    def __init__(self, keys, first=None):
        self.first = first
        for key, value in keys.items():
            setattr(self, key, value)


class Brokers:
    """The `first` broker and the `other` one, over `link`; each is (broker, a function that makes
    its opener, see mqboard.net.opener). Whose streams these are, `client`, has to be set.

    Only the broker whose turn it is has an opener: with it a TLS context, and its certificates.
    """

    client = None
    _turn = None  # the broker whose opener `_opener` is
    _opener = None

    def __init__(self, first, other, link, log):
        self.pairs = (first, other)
        self._link = link
        self._log = log
        self.fallen_back = False  # the broker in use, or tried, is not the first
        self._told = False

    async def open(self, *server):
        """Open a stream, for mqboard.mqtt.Client: to the first; after failures to each in turn. To
        another `server`, (host, port), where the one whose turn it is sends us there."""
        over = self.client.failures - _TRIES
        self.fallen_back = over >= 0 and over % 2 == 0 and not self.pairs[0][0].trial
        broker, make_opener = self.pairs[1 if self.fallen_back else 0]
        self.client.user, self.client.password = broker.user, broker.password
        self.client.peer = broker.host
        if broker is not self._turn:
            self._opener = None  # first: two contexts have no room beside each other
            self._turn, self._opener = broker, make_opener()
        try:
            stream = await self._opener(*server)
        except OSError as error:
            raise OSError("%s: %s" % (broker.host, error))
        if over < 0:
            self._told = False
        elif self.fallen_back and not self._told:
            self._told = True
            self._log.warning("using the fall-back broker %s", broker.host)
        return stream

    async def come_back(self, busy, goodbye):
        """While connected to the other one, look every ten minutes whether the first takes
        connections again, unless `busy()`; then `await goodbye(why)`, and disconnect.

        If the first one then lets us down, the next look is later.
        """
        first = self.pairs[0][0]
        pause = _LOOK_S
        while True:
            await asyncio.sleep(pause)
            if not self.client.connected or busy():
                continue
            if not self.fallen_back:
                pause = _LOOK_S
            elif await self._answers(first):
                pause = min(2 * pause, _LOOK_MAX_S)
                self._log.info("the broker %s answers again", first.host)
                await goodbye("back to its first broker")
                await self.client.disconnect()

    async def _answers(self, broker):
        """Return whether a broker takes TCP connections: a second one with TLS has no room."""
        try:
            stream = await open_stream(broker.host, broker.port, dns=self._link.dns())
            stream.close()
            return True
        except OSError:
            return False

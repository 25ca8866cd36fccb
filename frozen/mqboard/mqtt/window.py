"""Publishes without waiting for each acknowledgement, but for at most so many."""

import asyncio


class Window:
    """Use it with `async with`: at the end everything is acknowledged. A payload must not change
    until then. After an exception what is not acknowledged is given up."""

    def __init__(self, client, size):
        if size < 1:
            raise ValueError("a window of %d" % size)
        self._client = client
        self._size = size
        self._pending = []
        self._event = asyncio.Event()  # something was acknowledged

    async def __aenter__(self):
        return self

    async def publish(self, topic, payload=b"", qos=1, retain=False):
        """Send a message at QoS 1 or 2; return when it is written and the window is not over-full.

        Messages are sent in the order of these calls, again after a reconnect.
        """
        if len(self._pending) >= self._size:
            await self._wait(self._size // 2)  # half a window at a time: fewer turns
        client = self._client
        pending = client.register(topic, payload, qos, retain, self._event)
        self._pending.append(pending)
        if not client.transmit_now(pending):
            await client.transmit(pending)

    async def __aexit__(self, error, *_):
        try:
            if error is None:
                await self._wait(0)
        finally:
            for pending in self._pending:
                self._client.give_up(pending)

    async def _wait(self, count):
        """Wait until at most `count` messages are not acknowledged."""
        pending = self._pending
        while True:
            self._event.clear()
            while pending and pending[0].code is not None:
                pending.pop(0)
            if len(pending) <= count:
                return
            await self._event.wait()

"""Publishing without waiting for each acknowledgement, but for at most so many."""

import asyncio


class Window:
    """Use it with `async with`: at the end everything is acknowledged. A payload must not change
    until then. After an exception what is not acknowledged is given up."""

    def __init__(self, outbox, size):
        if size < 1:
            raise ValueError("a window of %d" % size)
        self._outbox = outbox
        self._size = size
        self._half = size // 2
        self._open = 0  # messages not acknowledged
        self._event = asyncio.Event()  # half the window is free

    async def __aenter__(self):
        return self

    async def publish(self, topic, payload=b"", qos=1, retain=False, properties=None):
        """Send a message at QoS 1 or 2; return when it is written and the window is not over-full.

        Messages are sent in the order of these calls, again after a reconnect.
        """
        if self._open >= self._size:
            await self._wait(self._half)  # half a window at a time: fewer turns
        outbox = self._outbox
        pending = outbox.register(topic, payload, qos, retain, self, properties)
        self._open += 1
        if not outbox.send_now(pending):
            await outbox.send(pending)

    def set(self):
        """Take that a message is acknowledged: all of them have the window in place of an event."""
        self._open -= 1
        if self._open <= self._half:
            self._event.set()

    async def __aexit__(self, error, *_):
        try:
            if error is None:
                await self._wait(0)
        finally:
            for pending in list(self._outbox.waiting.values()):
                if pending.event is self:
                    self._outbox.give_up(pending)

    async def _wait(self, count):
        """Wait until at most `count` messages are not acknowledged."""
        while self._open > count:
            self._event.clear()
            await self._event.wait()

"""Queues messages for handlers that take their time: a coroutine handler, or an `async for`."""

import asyncio


class Inbox:
    """Holds up to `limit` messages; when it is full the oldest is dropped, and counted by the
    client in `overflowed`. Those that wait, and the one that is being handled, it counts in
    `unhandled`."""

    wants = False  # messages go with their properties
    _handed = 0  # 1: the last one that was taken is being handled

    def __init__(self, client, limit):
        self._client = client
        self._limit = limit
        self._items = []
        self._news = asyncio.Event()
        self._open = True

    def put(self, item):
        """Add a message."""
        if self.wants:
            item += (self._client.properties,)
        if len(self._items) >= self._limit:
            self._items.pop(0)
            self._client.overflowed += 1
        else:
            self._client.unhandled += 1
        self._items.append(item)
        self._news.set()

    async def get(self):
        """Wait for the next message and return it; None when there will be no more. The one before
        it has been handled."""
        self._client.unhandled -= self._handed
        self._handed = 0
        while self._open and not self._items:
            self._news.clear()
            await self._news.wait()
        if not self._items:
            return None
        self._handed = 1
        return self._items.pop(0)

    def finish(self):
        """Take no more messages; those that wait are still handed out."""
        self._open = False
        self._news.set()

    def stop(self):
        """Take no more messages, and drop those that wait."""
        self._client.unhandled -= len(self._items)
        self._items.clear()
        self.finish()

    def close(self):
        """Do the same when nothing is handled any more."""
        self.stop()
        self._client.unhandled -= self._handed
        self._handed = 0

    async def serve(self, handler):
        """Await `handler` for one message after the other."""
        while True:
            item = await self.get()
            if item is None:
                return
            try:
                await handler(*item)
            except Exception as error:
                self._client.blame(error, item[0])


class Messages:
    """A subscription as an asynchronous iterator of (topic, payload as bytes, retained), and the
    properties behind them for who wants those."""

    def __init__(self, client, topic_filter, qos, limit, properties):
        self._client = client
        self._filter = topic_filter
        self._qos = qos
        self._properties = properties
        self._inbox = Inbox(client, limit)

    async def __aenter__(self):
        subscribe = self._client.subscribe
        await subscribe(self._filter, self._put, self._qos, properties=self._properties)
        return self

    async def __aexit__(self, *_):
        self._inbox.close()
        await self._client.unsubscribe(self._filter)

    def _put(self, topic, payload, *rest):
        self._inbox.put((topic, bytes(payload)) + rest)

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self._inbox.get()
        if item is None:
            raise StopAsyncIteration
        return item

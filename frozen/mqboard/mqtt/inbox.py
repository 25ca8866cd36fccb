"""Queues messages for handlers that take their time: a coroutine handler, or an `async for`."""

import asyncio


class Inbox:
    """Holds up to `limit` messages; when it is full the oldest is dropped, and counted by the
    client in `overflowed`."""

    wants = False  # messages go with their properties

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
        self._items.append(item)
        self._news.set()

    async def get(self):
        """Wait for the next message and return it; None when there will be no more."""
        while self._open and not self._items:
            self._news.clear()
            await self._news.wait()
        return self._items.pop(0) if self._items else None

    def finish(self):
        """Take no more messages; those that wait are still handed out."""
        self._open = False
        self._news.set()

    def stop(self):
        """Take no more messages, and drop those that wait."""
        self._items.clear()
        self.finish()

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
        self._inbox.stop()
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

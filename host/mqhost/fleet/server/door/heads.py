"""Closes connections on which no whole request comes: a thousand would keep all others out."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0  # for the first lines of a request, until they are all there


class TimedHeads(H11Protocol):
    """uvicorn's protocol, which itself limits only how long nothing comes between two requests."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._watch()

    def _watch(self) -> None:
        """Have a limit while a request is awaited; one that becomes a WebSocket is none of ours."""
        awaited = self in self.connections and (self.cycle is None or self.cycle.response_complete)
        if awaited and not self._limit:
            self._limit = self.loop.call_later(HEAD_S, self._close)
        elif not awaited and self._limit:
            self._limit.cancel()
            self._limit = None

    def _close(self) -> None:
        self._limit = None
        if self in self.connections and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

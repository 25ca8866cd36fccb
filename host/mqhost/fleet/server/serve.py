"""Runs the application of a fleet in a web server, until it is told to end."""

import asyncio
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from mqhost.errors import UsageError
from mqhost.fleet.server.app import create_app
from mqhost.fleet.server.door.heads import TimedHeads
from mqhost.fleet.server.fleet import Fleet

_MOST = 1000  # connections
_GRACE = 3  # seconds that requests under way have at the end


@dataclass(frozen=True)
class Certificate:
    """The files of the server's certificate and its key, PEM."""

    cert: Path
    key: Path


class _Uvicorn(uvicorn.Server):
    """Ends what goes on for ever, before it waits for what goes on."""

    def __init__(self, config: uvicorn.Config, fleet: Fleet) -> None:
        super().__init__(config)
        self._fleet = fleet

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            await asyncio.to_thread(self._fleet.begun)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._fleet.end_streams()
        await super().shutdown(sockets)


class Server:
    """A web server for `fleet`, at the address that its access says."""

    def __init__(self, fleet: Fleet, certificate: Certificate | None = None) -> None:
        access = fleet.access
        files = {}
        if certificate:
            files = {"ssl_certfile": certificate.cert, "ssl_keyfile": str(certificate.key)}
        try:
            config = uvicorn.Config(
                create_app(fleet),
                host=access.host,
                port=access.port,
                log_config=None,
                access_log=False,
                proxy_headers=False,  # whom a proxy names is for us to believe
                server_header=False,
                http=TimedHeads,
                ws="wsproto",
                ws_max_size=1 << 16,
                limit_concurrency=_MOST,
                timeout_graceful_shutdown=_GRACE,
                **files,  # type: ignore[arg-type]
            )
            config.load()
        except OSError as error:
            raise UsageError(f"The certificate or its key cannot be used: {error}.") from error
        self._server = _Uvicorn(config, fleet)
        self._address = f"{access.host}:{access.port}"
        self._thread: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether it takes requests."""
        return self._server.started

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or stop(); UsageError if the address cannot be had."""
        try:
            self._server.run()
        except SystemExit as error:  # uvicorn's way to say that
            raise UsageError(
                f"The server cannot listen at {self._address}: somebody else may do so already. "
                "Choose another address: --listen 127.0.0.1:8081."
            ) from error

    def stop(self) -> None:
        """Have run() end, from any thread."""
        self._server.should_exit = True

"""Stands before all else: refuses names that are not ours and pages of others, and says to browsers
what our pages may do.

A page elsewhere can have a browser send us requests, and with a name that it lets point to this
machine (DNS rebinding) even read our answers. So a request has to come to one of our names, and
from a page of ours, if it is not a link that somebody followed.
"""

from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mqhost.fleet.server.door.access import Access

_SAFE = {"GET", "HEAD", "OPTIONS"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """The middleware that does it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: a 403
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self._access.tls:
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        if refusal:
            answer = JSONResponse({"error": refusal}, 403)
            await answer(scope, receive, marked)
            return
        await self._app(scope, receive, marked)

    def _refusal(self, scope: dict[str, Any] | Scope) -> str:
        """Say why a request is refused; "" if it is not."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return "A request has one Host header."
        host = hosts[0].lower()
        names = self._access.names
        if names is not None and _name(host) not in names:
            return (
                "This server is not reached by that name. Where people use another address than "
                "the one it listens at, it has to be told: mqboard fleet serve --url ADDRESS."
            )
        elsewhere = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        if scope["type"] == "http" and scope["method"] in _SAFE:
            # A link to us may be anywhere; what is fetched, as a stream, may not.
            elsewhere = elsewhere and headers.get("sec-fetch-mode") != "navigate"
        elif origin := headers.get("origin", "").lower():
            ours = _netloc(origin) == host or origin in self._access.origins
            elsewhere = elsewhere or not ours
        return "This comes from a page that is not ours." if elsewhere else ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    """Return the host's name without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""

"""Says as JSON that a request is too large: what looks at its size says it in plain text."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mqhost.deploy.package import LARGEST as LARGEST_PACKAGE
from mqhost.fleet.server.asking import LARGEST_FILE
from mqhost.fleet.server.working.uploads import MOST

_TOO_LARGE = 413
_TEXT = (
    f"That is too large: a request has at most {LARGEST_FILE >> 20} MiB, one that brings an "
    f"application {LARGEST_PACKAGE >> 20} MiB, and one that brings an image {MOST >> 20} MiB. A "
    "larger file goes to a board by: mqboard put."
)


class TooLarge:
    """The middleware that does it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def told(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == _TOO_LARGE:
                replaced = True
                await JSONResponse({"error": _TEXT}, _TOO_LARGE)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, told)

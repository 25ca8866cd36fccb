"""Makes the web application of a fleet: what stands before it, its paths, how errors are told."""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from asgi_csrf import asgi_csrf_decorator
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mqhost import errors
from mqhost.artifacts.bundle import BundleError
from mqhost.fleet.server.api import (
    board,
    boards,
    deploy,
    files,
    images,
    jobs,
    login,
    repl,
    rollouts,
    streams,
    watching,
)
from mqhost.fleet.server.asking import LARGEST_FILE, NoBoard
from mqhost.fleet.server.door.auth import Forbidden, LoginNeeded
from mqhost.fleet.server.door.guard import Guard
from mqhost.fleet.server.door.toolarge import TooLarge
from mqhost.fleet.server.door.users import SESSION_SECONDS
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.store.records import StoreError

PAGE = "mqhost.fleet.page"
MODULES = (boards, board, files, deploy, jobs, images, rollouts, watching, streams, repl, login)
_STATUS: tuple[tuple[type[errors.ToolError], int], ...] = (  # the first that fits
    (NoBoard, 404),
    (errors.UsageError, 400),
    (BundleError, 400),
    (errors.RefusedError, 409),
    (StoreError, 503),
    (errors.BrokerError, 503),
    (errors.SilentBoardError, 504),
    (errors.BoardError, 502),
    (errors.ToolError, 500),
)


def make_api() -> FastAPI:
    """Return the paths alone, as for a description of them."""
    app = FastAPI(
        title="MQBoard",
        summary="A fleet of boards, over HTTP.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    for module in MODULES:
        app.include_router(module.router)
    return app


def create_app(fleet: Fleet) -> FastAPI:
    """Return the application of `fleet`, which has begun."""
    app = make_api()
    app.state.fleet = fleet
    if importlib.util.find_spec(PAGE + ".routes"):
        page = importlib.import_module(PAGE + ".routes")
        app.include_router(page.router, include_in_schema=False)
        app.mount("/static", page.static_app())
    app.add_exception_handler(errors.ToolError, _tool_error)
    app.add_exception_handler(LoginNeeded, _login_needed)
    app.add_exception_handler(Forbidden, _forbidden)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    # The last one that is added stands in front.
    key, secure = fleet.key, fleet.access.secure
    app.add_middleware(_Csrf, key=key, secure=secure)
    app.add_middleware(
        SessionMiddleware,
        secret_key=key,
        session_cookie="__Host-mqboard" if secure else "mqboard",
        max_age=SESSION_SECONDS,
        same_site="lax",
        https_only=secure,
    )
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=LARGEST_FILE)
    app.add_middleware(TooLarge)
    app.add_middleware(Guard, access=fleet.access)
    return app


def csrf_token(request: Request) -> str:
    """Return what a form of ours sends as `csrf_token`, and a script of ours as X-CSRF-Token."""
    make: Callable[[], str] = request.scope["csrftoken"]
    return make()


class _Csrf:
    """Wants the token of the page with what changes something in a session: asgi-csrf."""

    def __init__(self, app: ASGIApp, key: str, secure: bool) -> None:
        self._app = app
        self._protect: Callable[[ASGIApp], ASGIApp] = asgi_csrf_decorator(
            signing_secret=key,
            cookie_name="__Host-mqboard-csrf" if secure else "mqboard-csrf",
            http_header="x-csrf-token",
            form_input="csrf_token",
            cookie_secure=secure,
            send_csrf_failed=_csrf_failed,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        passed = False

        @functools.wraps(self._app)
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal passed
            passed = True
            await self._app(scope, receive, send)

        try:
            await self._protect(app)(scope, receive, send)
        except (TypeError, LookupError, ValueError, AssertionError):
            if passed:
                raise
            await _csrf_failed(scope, send, None)  # it chokes on what no browser sends


async def _csrf_failed(scope: Scope, send: Send, message_id: object) -> None:
    async def nothing() -> Any:
        return {"type": "http.disconnect"}

    receive: Receive = nothing
    text = "The token of the page is missing or old: load it again, and do the same once more."
    await JSONResponse({"error": text}, 403)(scope, receive, send)


def wants_page(request: Request) -> bool:
    """Return whether a person's browser asks, rather than a script."""
    asked = request.headers.get("accept", "")
    return "text/html" in asked and not request.url.path.startswith("/api/")


async def _tool_error(request: Request, error: Exception) -> Response:
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    return JSONResponse({"error": str(error)}, status)


async def _login_needed(request: Request, error: Exception) -> Response:
    if wants_page(request) and request.method == "GET":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(path)}", 303)
    return JSONResponse({"error": str(error)}, 401, {"www-authenticate": "Bearer"})


async def _forbidden(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 403)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _not_valid(request: Request, error: Exception) -> Response:
    """Say what is wrong with a request, without what was in it: that may be a secret."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"error": f"{'; '.join(found):.1000}."}, 422)

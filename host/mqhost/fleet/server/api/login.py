"""Logs people in and out. A session is a cookie that no script can read; it ends with its user."""

import functools
from typing import Annotated
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from mqhost.fleet.server.api.common import TheFleet, quick
from mqhost.fleet.server.door.auth import SECRET, Looking, address_of
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.fleet import Fleet

router = APIRouter(tags=["server"])
_LONGEST = 4096
_AT_ONCE = 2


@router.post("/login", include_in_schema=False)
async def login(
    request: Request,
    fleet: TheFleet,
    user: Annotated[str, Form(max_length=_LONGEST)],
    password: Annotated[str, Form(max_length=_LONGEST)],
    next: Annotated[str, Form(max_length=_LONGEST)] = "/",
) -> Response:
    """Begin a session, and go on to where somebody wanted to; or back to the form."""
    address = address_of(request, fleet.access)
    wait = fleet.attempts.wait(user, address)
    found = None if wait else await _checked(request, fleet, user, password)
    if found is None:
        if not wait:
            fleet.attempts.wrong(user, address)
            await quick(_note, fleet, user, f"refused, from {address}")
        again = f"/login?wrong=1&next={quote(_ours(next))}"
        headers = {"retry-after": str(int(wait) + 1)} if wait else None
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(again + ("&wait=1" if wait else ""), 303, headers)
        text = "Too many wrong passwords: wait." if wait else "That is not the password."
        return JSONResponse({"error": text}, 429 if wait else 401, headers)
    fleet.attempts.right(user)
    secret = await quick(fleet.users.login, found)
    request.session.clear()
    request.session[SECRET] = secret
    await quick(_note, fleet, found.name, f"from {address}")
    return RedirectResponse(_ours(next), 303)


@router.get("/api/token")
async def page_token(request: Request, user: Looking) -> dict[str, str]:
    """Give the token that a page sends as X-CSRF-Token with what changes something, besides its
    session; a script with a token of its own needs none."""
    return {"csrf_token": request.scope["csrftoken"]()}


@router.post("/logout", include_in_schema=False)
async def logout(request: Request, fleet: TheFleet) -> Response:
    """End the session."""
    secret = request.session.get(SECRET)
    if isinstance(secret, str):
        await quick(fleet.users.logout, secret)
    request.session.clear()
    return RedirectResponse("/login", 303)


async def _checked(request: Request, fleet: Fleet, name: str, password: str) -> User | None:
    """Return the user, if that is the password. Few are looked at at a time: who tries many holds
    up nobody but those who log in.
    """
    state = request.app.state
    if not hasattr(state, "login_limiter"):
        state.login_limiter = CapacityLimiter(_AT_ONCE)
    check = functools.partial(fleet.users.check, name, password)
    return await to_thread.run_sync(check, limiter=state.login_limiter)


def _note(fleet: Fleet, name: str, result: str) -> None:
    fleet.note(User(name[:64], "look"), "login", None, result)


def _ours(path: str) -> str:
    """Return `path` if it is one of this server, or else the first page."""
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"

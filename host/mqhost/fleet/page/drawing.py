"""Draws templates for who asks: what every page shows, and a sentence where something is wrong."""

from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment
from starlette.responses import HTMLResponse

from mqhost.errors import ToolError
from mqhost.fleet.page.templating import environment
from mqhost.fleet.server.door.auth import SECRET
from mqhost.fleet.server.door.users import User
from mqhost.fleet.server.fleet import Fleet


@cache
def templates() -> Environment:
    """Return the templates, read once."""
    return environment()


def page(
    request: Request, fleet: Fleet, user: User, name: str, status: int = 200, **told: Any
) -> HTMLResponse:
    """Draw a template with what every page has, and what is `told` besides."""
    context = {
        "user": user,
        "connected": fleet.live.connected,
        "broker": fleet.settings.where,
        "may_leave": SECRET in request.session,
        "csrf": request.scope["csrftoken"](),
        "here": "",
    }
    text = templates().get_template(name).render(context | told)
    return HTMLResponse(text, status, {"vary": "HX-Request"})


def macros(name: str) -> Any:
    """Return the module of a template that has macros, to be called from here."""
    return templates().get_template(name).module


def part(name: str, **told: Any) -> HTMLResponse:
    """Draw a part of a page."""
    return HTMLResponse(templates().get_template(name).render(told))


def sentence(error: ToolError) -> HTMLResponse:
    """Draw a part of a page that could not be had."""
    return part("sentence.html", text=str(error))


def asks_for_part(request: Request) -> bool:
    """Return whether htmx wants only what changes; it wants all of a page that it goes back to."""
    headers = request.headers
    return "hx-request" in headers and "hx-history-restore-request" not in headers

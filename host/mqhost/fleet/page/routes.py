"""Answers a browser: the list of boards, what is done to them, and the way in.

A page is drawn whole on the server. What moves on it comes as events, and what changes something
goes to the API, which decides who may.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from mqhost.fleet.page import board_routes, file_routes, rollout_routes, vendored
from mqhost.fleet.page.drawing import asks_for_part, macros, page, part, templates
from mqhost.fleet.page.rows import MOST, Row, View, Wish, view
from mqhost.fleet.server.api.common import RolloutNumber, TheFleet, quick
from mqhost.fleet.server.api.streams import event, still_in
from mqhost.fleet.server.changes import BOARD
from mqhost.fleet.server.door.auth import Looking
from mqhost.fleet.server.fleet import Fleet
from mqhost.fleet.server.working.jobs import seen

router = APIRouter(include_in_schema=False)
router.include_router(board_routes.router)
router.include_router(file_routes.router)
router.include_router(rollout_routes.router)
_PAUSE, _LOOK = 1.0, 5.0  # seconds: changes are gathered; it is looked whether one may still listen
_ENTRIES = 200  # of the audit at once
_YEAR = 365 * 24 * 3600


class _Static(StaticFiles):
    """The files of the page; those with a hash in their address never change."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer, and say for how long the answer holds."""
        answer = await super().get_response(path, scope)
        fixed = b"v=" in scope.get("query_string", b"")
        lasts = f"public, max-age={_YEAR}, immutable" if fixed else "no-cache"
        answer.headers["cache-control"] = lasts
        return answer


def static_app() -> StaticFiles:
    """Return what serves the files of the page. They are brought first, where that was not done."""
    vendored.ensure()
    return _Static(directory=Path(__file__).parent / "static")


def _wish(
    q: Annotated[str, Query(max_length=200)] = "",
    where: Annotated[str, Query(max_length=2000)] = "",
    group: Annotated[str, Query(max_length=200)] = "",
    show: Annotated[str, Query(max_length=20)] = "",
    sort: Annotated[str, Query(max_length=20)] = "",
    most: Annotated[int, Query(ge=1, le=1_000_000)] = MOST,
) -> Wish:
    return Wish(q.strip(), where.strip(), group, show, sort, most)


TheWish = Annotated[Wish, Depends(_wish)]


@router.get("/")
def list_boards(request: Request, fleet: TheFleet, user: Looking, wish: TheWish) -> HTMLResponse:
    """Show the boards; to htmx only the list."""
    seen = _view(fleet, wish)
    if asks_for_part(request):
        return part("fleet.html", view=seen)
    told: dict[str, Any] = {"view": seen, "groups": fleet.groups.names()}
    return page(request, fleet, user, "boards.html", here="boards", **told)


@router.get("/live/boards", response_class=EventSourceResponse)
async def live_boards(
    request: Request, fleet: TheFleet, user: Looking, wish: TheWish
) -> AsyncIterator[ServerSentEvent]:
    """Tell which rows of that list have changed: `rows` by prefix, `gone`, and the `chips`; before
    that the `mark` of the `list` as it is now.
    """
    with fleet.changes.listening() as listener:
        yield event("list", {"mark": (await quick(_view, fleet, wish)).mark})
        while await still_in(request):
            changed = {name for kind, name in await listener.next(_PAUSE, _LOOK) if kind == BOARD}
            if changed:
                yield event("rows", await quick(_news, fleet, wish, changed))


def _view(fleet: Fleet, wish: Wish) -> View:
    return view(fleet.live.boards(), fleet.live.facts, wish, fleet.groups.patterns)


def _news(fleet: Fleet, wish: Wish, changed: set[str]) -> dict[str, Any]:
    """Return what has to be drawn anew of a list when those boards have said something."""
    everybody = _view(fleet, wish)
    drawn = macros("rows.html")
    rows: dict[str, Row] = {row.prefix: row for row in everybody.rows}
    return {
        "rows": {name: str(drawn.line(rows[name])) for name in changed if name in rows},
        "gone": sorted(changed - rows.keys()),
        "chips": str(drawn.chips(everybody)),
    }


@router.get("/audit")
def audit(
    request: Request,
    fleet: TheFleet,
    user: Looking,
    board: Annotated[str, Query(max_length=500)] = "",
    rollout: RolloutNumber | None = None,
    most: Annotated[int, Query(ge=1, le=100_000)] = _ENTRIES,
) -> HTMLResponse:
    """Show who did what, the last first."""
    found = fleet.store.audit(number=rollout, board=board.strip() or None, limit=most + 1)
    entries = [seen(entry, user) for _, entry in found[:most]]
    told: dict[str, Any] = {"entries": entries, "board": board, "most": most}
    told |= {"rollout": rollout, "older": len(found) > most}
    return page(request, fleet, user, "audit.html", here="audit", **told)


@router.get("/login")
async def come_in(
    request: Request, fleet: TheFleet, next: str = "/", wrong: bool = False, wait: bool = False
) -> Response:
    """Show the form to log in with; where everybody may come in, the boards."""
    if await quick(fleet.doorkeeper.open):
        return RedirectResponse("/", 303)
    text = (
        templates()
        .get_template("login.html")
        .render(csrf=request.scope["csrftoken"](), next=next, wrong=wrong, wait=wait)
    )
    return HTMLResponse(text, 401 if wrong else 200)

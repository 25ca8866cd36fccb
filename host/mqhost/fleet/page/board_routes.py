"""Shows one board: a page for each of its sides, and the parts of them that the board is asked for.

Who looks at the page of a board does not wait for it: what it has to be asked for comes after.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mqhost.errors import AbsentBoardError, ToolError
from mqhost.fleet.page import facts
from mqhost.fleet.page.drawing import page, part, sentence
from mqhost.fleet.page.file_routes import BoardPath
from mqhost.fleet.page.rows import Row
from mqhost.fleet.server.api.common import Prefix, TheFleet, quick, waiting
from mqhost.fleet.server.api.streams import event, still_in
from mqhost.fleet.server.asking import NoBoard
from mqhost.fleet.server.door.auth import Looking
from mqhost.fleet.server.door.guard import HEADERS
from mqhost.fleet.server.door.users import OPERATE, UPDATE
from mqhost.fleet.server.working.jobs import seen
from mqhost.manage.configuration import flatten
from mqhost.manage.crash import Crash

router = APIRouter()
# The sides of a board: the word in the address, the name, and the role that it takes to see it.
TABS = (
    ("", "Overview", ""),
    ("console", "Console", OPERATE),
    ("files", "Files", ""),
    ("config", "Configuration", ""),
    ("crashes", "Crashes", ""),
    ("update", "Update", UPDATE),
    ("history", "History", ""),
)
_ENTRIES = 100
_PAUSE, _LOOK = 0.3, 5.0  # seconds: changes are gathered; it is looked whether one may still listen
# xterm.js writes style sheets of its own into the page.
_STYLED = HEADERS["content-security-policy"].replace("style-src", "style-src 'unsafe-inline'")


@router.get("/board")
async def show(
    request: Request,
    fleet: TheFleet,
    user: Looking,
    prefix: Prefix,
    tab: Annotated[str, Query(max_length=20)] = "",
    path: BoardPath = "/",
    file: BoardPath = "",
) -> Response:
    """Show a side of a board."""
    tabs = [(word, name) for word, name, role in TABS if not role or user.may(role)]
    if tab not in dict(tabs):
        return RedirectResponse(f"{request.url.path}?{request.url.query.split('&tab=')[0]}", 303)
    try:
        board = fleet.asking.need(prefix)
    except NoBoard as error:
        return page(request, fleet, user, "missing.html", 404, text=str(error), here="boards")
    told: dict[str, Any] = {"board": board, "row": Row.of(board, fleet.live.facts(prefix))}
    told |= {"tabs": tabs, "tab": tab, "path": path, "file": file}
    told |= {"prefix": prefix}
    told |= {"condition": facts.condition(board.status), "firmware": facts.firmware(board.status)}
    if tab == "history":
        found = await quick(fleet.store.audit, board=prefix, limit=_ENTRIES)
        told |= {"entries": [seen(entry, user) for _, entry in found]}
    elif tab == "update":
        told |= {"images": await quick(_images, fleet, board.fact("board"))}
    told |= {"running": [job for job in fleet.jobs.all(prefix) if not job.over.is_set()]}
    name = f"board_{tab or 'overview'}.html"
    answer = page(request, fleet, user, name, here="boards", **told)
    if tab == "console":
        answer.headers["content-security-policy"] = _STYLED
    return answer


@router.get("/live/board", response_class=EventSourceResponse)
async def live_board(
    request: Request, fleet: TheFleet, user: Looking, prefix: Prefix
) -> AsyncIterator[ServerSentEvent]:
    """Tell that a board has said something new of itself, and not only answered a question."""
    with fleet.changes.listening() as listener:
        before = fleet.live.get(prefix)
        while await still_in(request):
            await listener.next(_PAUSE, _LOOK)
            now = fleet.live.get(prefix)
            if now is not before:
                before = now
                yield event("changed", prefix)


@router.get("/board/head")
def head(request: Request, fleet: TheFleet, user: Looking, prefix: Prefix) -> HTMLResponse:
    """Draw what stands above all sides of a board, after something has happened to it."""
    board = fleet.asking.need(prefix)
    row = Row.of(board, fleet.live.facts(prefix))
    return part("board_head.html", board=board, row=row, prefix=prefix, user=user)


@router.get("/board/info")
async def info(request: Request, fleet: TheFleet, user: Looking, prefix: Prefix) -> HTMLResponse:
    """Ask the board for its facts, and draw them."""
    try:
        said = await waiting(request, fleet.asking.info, prefix)
    except ToolError as error:
        return sentence(error)
    shown = {"condition": facts.condition(said), "firmware": facts.firmware(said)}
    return part("facts.html", asked=True, **shown)


@router.get("/board/config")
async def config(request: Request, fleet: TheFleet, user: Looking, prefix: Prefix) -> HTMLResponse:
    """Ask the board for its configuration, and draw it; secrets are not in it."""
    try:
        told = await waiting(request, fleet.asking.config, prefix)
    except ToolError as error:
        return sentence(error)
    keys = flatten(told["config"])
    return part("config.html", keys=keys, settled=told["settled"], prefix=prefix, user=user)


@router.get("/board/crashes")
async def crashes(
    request: Request,
    fleet: TheFleet,
    user: Looking,
    prefix: Prefix,
    number: int | None = None,
) -> HTMLResponse:
    """Ask the board for its crashes, or for all of one, and draw that."""
    try:
        said = await waiting(request, fleet.asking.crashes, prefix, number)
    except AbsentBoardError as error:
        said = await quick(fleet.kept_crashes, prefix)
        found = [Crash.of(record) for record in said][::-1]
        return part("crashes_kept.html", crashes=found, why=str(error))
    except ToolError as error:
        return sentence(error)
    found = [Crash.of(record) for record in said][::-1]
    if number is not None:
        return part("crash.html", crash=found[0])
    return part("crashes.html", crashes=found, prefix=prefix, user=user)


def _images(fleet: Any, board: str) -> list[Any]:
    """Return the stored images for that type of board, the newest first."""
    return [(offer, added) for offer, added in fleet.store.images() if offer.board == board]

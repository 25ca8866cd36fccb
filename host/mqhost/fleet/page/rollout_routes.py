"""Shows rollouts: all of them, and one with its waves, as they go on."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import HTMLResponse

from mqhost.errors import UsageError
from mqhost.fleet.page.drawing import asks_for_part, page, part
from mqhost.fleet.page.picture import BADGES, BOARD_BADGES, Picture
from mqhost.fleet.server.api.common import RolloutNumber, TheFleet, quick
from mqhost.fleet.server.api.streams import event, still_in
from mqhost.fleet.server.door.auth import Looking
from mqhost.fleet.server.door.users import UPDATE
from mqhost.fleet.server.fleet import Fleet

router = APIRouter()
_LOOK = 1.0  # seconds: other processes drive rollouts, too, and tell only the database
_SHOWN = 50  # rollouts
_PICTURES = 20  # of the newest rollouts, how far they are


@router.get("/rollouts")
def list_rollouts(request: Request, fleet: TheFleet, user: Looking) -> HTMLResponse:
    """Show the rollouts at this broker, the last one first, and the form for another one."""
    found = fleet.store.rollouts(fleet.broker)[:_SHOWN]
    pictures = [Picture.of(*fleet.store.read(one.id)) for one in found[:_PICTURES]]
    told: dict[str, Any] = {"rollouts": found, "pictures": pictures, "badges": BADGES}
    told |= {"images": fleet.store.images() if user.may(UPDATE) else []}
    told |= {"groups": fleet.groups.names()}
    return page(request, fleet, user, "rollouts.html", here="rollouts", **told)


@router.get("/rollouts/{number}")
def show_rollout(
    request: Request, fleet: TheFleet, user: Looking, number: RolloutNumber
) -> HTMLResponse:
    """Show a rollout; to htmx only what moves."""
    try:
        rollout, boards = fleet.store.read(number)
    except UsageError as error:
        return page(request, fleet, user, "missing.html", 404, text=str(error), here="rollouts")
    told: dict[str, Any] = {"picture": Picture.of(rollout, boards), "rollout": rollout}
    told |= {"badges": BADGES, "board_badges": BOARD_BADGES}
    told |= {"driver": fleet.store.driver(number), "options": rollout.options.record()}
    told |= {"under_way": fleet.driving.progress(number), "trouble": fleet.driving.trouble(number)}
    if asks_for_part(request):
        return part("rollout_now.html", user=user, **told)
    told |= {"entries": [entry for _, entry in fleet.store.audit(number=number, limit=_SHOWN)]}
    return page(request, fleet, user, "rollout.html", here="rollouts", **told)


@router.get("/live/rollouts/{number}", response_class=EventSourceResponse)
async def live_rollout(
    request: Request, fleet: TheFleet, user: Looking, number: RolloutNumber
) -> AsyncIterator[ServerSentEvent]:
    """Tell that a rollout has gone on, whoever drives it."""
    before = await quick(_state, fleet, number)
    with fleet.changes.listening() as listener:
        while await still_in(request):
            await listener.next(0.2, _LOOK)
            now = await quick(_state, fleet, number)
            if now != before:
                before = now
                yield event("changed", number)


def _state(fleet: Fleet, number: int) -> Any:
    """Return what is another one once a rollout has gone on."""
    try:
        rollout, boards = fleet.store.read(number)
        return rollout, boards, fleet.store.driver(number), fleet.driving.progress(number)
    except UsageError:
        return None

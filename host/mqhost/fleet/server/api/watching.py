"""Tells how boards were over time, what people did, and figures for Prometheus."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from mqhost.fleet.server.api.common import LARGEST_NUMBER, KnownBoard, TheFleet, quick
from mqhost.fleet.server.door.auth import Looking
from mqhost.fleet.server.hearing import metrics
from mqhost.fleet.server.working.jobs import seen

router = APIRouter(tags=["history"])
_LONGEST = 24 * 90  # hours


@router.get("/api/history")
def history(
    fleet: TheFleet,
    user: Looking,
    board: KnownBoard,
    what: Annotated[Literal["heap", "rssi", "reconnects"], Query()],
    hours: Annotated[float, Query(gt=0, le=_LONGEST)] = 24,
) -> Any:
    """Tell how a board's free heap (bytes), signal (dBm) or reconnects were: at most 500 `points`,
    each a Unix time and a value. Up to 48 hours they are of 5 minutes each, else of an hour.
    """
    points = fleet.history.points(board.prefix, what, hours)
    return JSONResponse({"prefix": board.prefix, "what": what, "points": points})


@router.get("/api/audit")
def audit(
    fleet: TheFleet,
    user: Looking,
    prefix: Annotated[str | None, Query(description="What was done to that board.")] = None,
    who: str | None = None,
    what: Annotated[str | None, Query(description="What begins so, as `update`.")] = None,
    rollout: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER)] = None,
    since: Annotated[float | None, Query(description="A Unix time.")] = None,
    before: Annotated[
        int | None, Query(ge=0, le=LARGEST_NUMBER, description="Only entries with a lower `id`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Any:
    """Tell who did what, when, to which board, with which result, the last first."""
    found = fleet.store.audit(
        board=prefix, who=who, what=what, number=rollout, since=since, before=before, limit=limit
    )
    return JSONResponse([{"id": number} | seen(entry, user).__dict__ for number, entry in found])


@router.get("/metrics", tags=["server"], response_class=Response)
async def figures(request: Request, fleet: TheFleet, user: Looking) -> Response:
    """Give the server's figures as OpenMetrics, for Prometheus, which shows a token."""
    asked = request.headers.get("accept", "")
    text, kind = await quick(metrics.expose, fleet, asked)
    return Response(text, headers={"content-type": kind})
